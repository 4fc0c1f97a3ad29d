"""Files that are whole or absent, and that one process writes at a time.

And files that somebody else writes to while they are read: noticed, and refused.
"""

from __future__ import annotations

import errno
import fcntl
import glob
import hashlib
import logging
import os
import re
import shlex
import shutil
import socket
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeAlias

from hero_rl.errors import InputError

Stamps: TypeAlias = list[tuple[int, int, int]]

logger = logging.getLogger(__name__)
_held: set[int] = set()
"""Descriptors of this process's locks."""
_WRITER = ".hero_rl.writer"
"""In the private folder of a half-written file: which process made it."""
_LONGEST_NAME_BYTES = 255 - len(".12345678.partial")


@contextmanager
def replacing(path: Path, *, sync: bool = True) -> Iterator[Path]:
    """Yield a path to write a file or a folder to, which takes the place of ``path`` when the block ends well.

    It lies in a new private folder, ``NAME.RANDOM.partial`` beside ``path``, which goes however the block ends: writers do not
    meet, and no link that somebody else planted is followed. What is replaced leaves its mode. With ``sync`` there is the old
    content or the new one after a power cut.

    Raises:
        InputError: ``path`` is a pipe or a device, or its name is too long.
    """
    target = _target(path)
    try:
        with tempfile.TemporaryDirectory(".partial", f"{target.name}.", target.parent, ignore_cleanup_errors=True) as private:
            (Path(private) / _WRITER).write_text(f"{os.getpid()} {socket.gethostname()}", encoding="utf-8")
            partial = Path(private) / path.name
            yield partial
            if target.exists():
                shutil.copymode(target, partial)
            for written in (partial, *partial.rglob("*")) if sync else ():
                _sync(written)
            os.replace(partial, target)
        if sync:
            _sync(target.parent)
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT) and error.filename is None
        if full or re.search(rf"{re.escape(target.name)}\.\w{{8}}\.partial", str(error.filename)):
            error.filename = str(path)
        raise


def write_text(path: Path, text: str) -> Path:
    """Write ``text`` in UTF-8 and return the path."""
    with replacing(path) as partial:
        partial.write_text(text, encoding="utf-8")
    return path


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _target(path: Path) -> Path:
    """Return the output itself: what a link of this user leads to, unless it leads nowhere; else ``path``."""
    if len(os.fsencode(path.name)) > _LONGEST_NAME_BYTES:
        raise InputError(f"{path}: the name is too long; give one of at most {_LONGEST_NAME_BYTES} bytes")
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise InputError(f"{path}: is a pipe or a device; give the name of a regular file")
    own_link = path.is_symlink() and path.lstat().st_uid == os.geteuid()
    return path.resolve() if own_link and path.exists() else path


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Keep other processes from an output file or folder until the block ends, or this process does in whatever way.

    The lock is a file ``.NAME.lock`` beside ``path``, or in it where nothing may be written beside it. What a killed process
    of this host left in ``NAME.RANDOM.partial`` is removed.

    Raises:
        InputError: another process has it; the message says which. Or as ``replacing``.
    """
    target = _target(path)
    place = target.resolve() if target.is_dir() else target.parent.resolve() / target.name
    made = [parent for parent in place.parents if not parent.exists()]
    place.parent.mkdir(parents=True, exist_ok=True)
    inside = place.is_dir() and not os.access(place.parent, os.W_OK)
    lock = (place if inside else place.parent) / f".{place.name}.lock"
    descriptor = _lock(lock, path)
    try:
        for left in place.parent.glob(f"{glob.escape(place.name)}.????????.partial"):
            if _abandoned(left):
                shutil.rmtree(left, ignore_errors=True)
        yield
    finally:
        if descriptor in _held:  # not in a fork of this process
            _held.remove(descriptor)
            lock.unlink(missing_ok=True)
            os.close(descriptor)
            with suppress(OSError):  # not empty
                for parent in made:
                    parent.rmdir()


def check_empty(folder: Path, what: str, start: str) -> None:
    """Raise InputError if ``folder`` is a file, or has something in it that is no lock.

    Args:
        folder: the output of a command with ``--resume``.
        what: that is written there, for the message.
        start: the file that each writes first: where it is, it can be resumed.
    """
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder}: is a file; give {what} a folder of its own with --output")
    if folder.is_dir() and any(path.suffix != ".lock" for path in folder.iterdir()):
        how = "go on with --resume, or give" if (folder / start).is_file() else "give"
        raise InputError(f"{folder}: is not empty, and {what} would mix with what is there; {how} another folder with --output")


def _abandoned(private: Path) -> bool:
    """Return True for a folder that ``replacing`` made in a process of this host that is dead."""
    try:
        pid, host = (private / _WRITER).read_text(encoding="utf-8").split()
        if host == socket.gethostname():
            os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except (OSError, ValueError, OverflowError):  # not made by ``replacing``, or the process is another user's
        pass
    return False


def _lock(lock: Path, path: Path) -> int:
    """Return the descriptor of the lock file, locked and with this process's name in it."""
    while True:
        try:
            descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
        except OSError as error:
            error.filename = str(path if error.errno != errno.ELOOP else lock)
            raise
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = _holder(descriptor)
            os.close(descriptor)
            raise InputError(f"{path}: in use by {holder}; wait until that ends, or write to another place") from None
        except OSError as error:
            logger.warning("%s: this file system has no locks (%s); do not write it twice at once", path, error.strerror)
        links = os.fstat(descriptor).st_nlink
        if links == 1:
            break
        os.close(descriptor)  # 0: its holder has just removed it
        if links > 1:
            raise InputError(f"{lock}: is a link to a file that may be somebody else's; delete the link")
    command = shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])
    since = datetime.now(UTC).isoformat(timespec="seconds")
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"process {os.getpid()} on {socket.gethostname()} since {since} ({command})".encode(), 0)
    _held.add(descriptor)
    return descriptor


def _holder(descriptor: int) -> str:
    """Return what the holder of a lock wrote into it."""
    for _ in range(50):
        text = os.pread(descriptor, 400, 0).decode("utf-8", "replace")
        if text:
            return "".join(char if char.isprintable() else "?" for char in text)
        time.sleep(0.01)  # it has just locked it
    return "another process"


def _forget_locks() -> None:
    """Let go of the locks in a fork, which would keep them after this process has ended."""
    for descriptor in _held:
        os.close(descriptor)
    _held.clear()


os.register_at_fork(after_in_child=_forget_locks)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def unchanged(*paths: Path, before: Stamps | None = None) -> Iterator[None]:
    """Raise InputError at the end of the block if a file is not what it was at the start, or at the time of ``before``."""
    before = before or stamps(*paths)
    yield
    for path, then, now in zip(paths, before, stamps(*paths), strict=True):
        if then != now:
            raise changed(path)


def stamps(*paths: Path) -> Stamps:
    """Return what tells whether files were changed."""
    return [(found.st_ino, found.st_size, found.st_mtime_ns) for found in map(os.stat, paths)]


def changed(path: Path) -> InputError:
    """Return the error to raise if a file changed while it was being read."""
    return InputError(f"{path}: changed while it was being read; run again when nobody writes to it")
