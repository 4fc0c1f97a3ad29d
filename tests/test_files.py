"""Files are whole or absent, and have one writer at a time."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from hero_rl.cli import main
from hero_rl.errors import InputError
from hero_rl.files import locked, replacing, write_text

WRITER = """
import sys
from pathlib import Path
from hero_rl.errors import InputError
from hero_rl.files import locked, replacing
for line in sys.stdin:
    path = Path(line.strip())
    try:
        with locked(path), replacing(path) as partial:
            print("holds", flush=True)
            sys.stdin.readline()
            partial.write_text((sys.argv[1] + chr(10)) * 5000)
        print("wrote", flush=True)
    except InputError as error:
        print(error, flush=True)
        sys.stdin.readline()
        print("refused", flush=True)
"""
HOLDER = """
import os, sys, time
from pathlib import Path
from hero_rl.files import locked, replacing
with locked(Path(sys.argv[1])), replacing(Path(sys.argv[1])):
    if os.fork() == 0:
        print("holds", flush=True)
    time.sleep(600)
"""


def test_a_file_appears_when_it_is_whole(tmp_path):
    path = tmp_path / "out.txt"
    with replacing(path) as partial:
        partial.write_text("new")
        assert not path.exists()
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_what_breaks_off_leaves_the_old_file_and_nothing_else(tmp_path, error):
    path = write_text(tmp_path / "out.txt", "old")

    def break_off():
        with replacing(path) as partial:
            partial.write_text("ne")
            raise error

    with pytest.raises(error):
        break_off()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a folder in which not even root can make files")
def test_an_error_names_the_file_that_was_asked_for_and_no_temporary_one():
    path = Path("/proc/out.txt")
    with pytest.raises(OSError, match="out") as unwritten:
        write_text(path, "text")
    with pytest.raises(OSError, match="out") as unlocked, locked(path):
        pass
    assert unwritten.value.filename == unlocked.value.filename == str(path)


def test_text_is_utf_8_whatever_the_locale(tmp_path):
    assert write_text(tmp_path / "out.txt", "σ̄\n").read_bytes() == "σ̄\n".encode()


def test_of_two_writers_one_is_refused_and_told_who_writes_fifty_times(tmp_path):
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for name in ("one", "two")
    ]

    def ask(line):
        for writer in writers:
            writer.stdin.write(f"{line}\n")
            writer.stdin.flush()
        return [writer.stdout.readline().strip() for writer in writers]

    path = tmp_path / "out.jsonl"
    for _ in range(50):
        said = ask(path)
        holder = said.index("holds")
        assert re.match(f"{path}: in use by process {writers[holder].pid} on .* \\(-c \\w+\\); wait", said[1 - holder])
        assert sorted(ask("go on")) == ["refused", "wrote"]
        assert path.read_text() == (("one", "two")[holder] + "\n") * 5000
    for writer in writers:
        writer.communicate()
    assert list(tmp_path.iterdir()) == [path]


def test_a_lock_ends_with_its_process_though_a_fork_lives_on_and_its_half_written_file_goes(tmp_path):
    path = tmp_path / "out.jsonl"
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(path)], stdout=subprocess.PIPE, start_new_session=True) as holder:
        assert holder.stdout.readline() == b"holds\n"
        with pytest.raises(InputError, match=f"process {holder.pid} on"), locked(path):
            pass
        holder.kill()
        holder.wait()
        assert list(tmp_path.glob("*.partial"))
        with locked(path):
            assert [one.name for one in tmp_path.iterdir()] == [".out.jsonl.lock"]
        os.killpg(holder.pid, signal.SIGKILL)


def test_only_a_dead_process_of_this_host_loses_its_half_written_file(tmp_path):
    with subprocess.Popen(["true"]) as dead:
        pass
    path = tmp_path / "out.jsonl"
    there = {"20240101": None, "aaaaaaaa": f"{os.getpid()} {socket.gethostname()}", "bbbbbbbb": f"{dead.pid} other",
             "cccccccc": "not ours", "dddddddd": f"{dead.pid} {socket.gethostname()}"}  # fmt: skip
    for name, writer in there.items():
        (tmp_path / f"out.jsonl.{name}.partial").mkdir()
        write_text(
            tmp_path / f"out.jsonl.{name}.partial" / ("notes" if writer is None else ".hero_rl.writer"), writer or "mine"
        )
    with replacing(path) as partial:  # without a lock
        partial.write_text("new")
        with locked(path):
            pass
    assert path.read_text() == "new"
    assert sorted(one.name[10:18] for one in tmp_path.glob("*.partial")) == ["20240101", "aaaaaaaa", "bbbbbbbb", "cccccccc"]


def test_a_link_of_ones_own_stays_and_what_it_leads_to_is_replaced_with_its_mode(tmp_path):
    (tmp_path / "disk").mkdir()
    real, link = write_text(tmp_path / "disk" / "real.txt", "old"), tmp_path / "link.jsonl"
    real.chmod(0o640)
    link.symlink_to("disk/real.txt")
    with replacing(link) as partial:
        assert (partial.name, partial.parent.parent) == ("link.jsonl", tmp_path / "disk")
        partial.write_text("new")
    assert (link.readlink(), real.read_text(), oct(real.stat().st_mode & 0o7777)) == (Path("disk/real.txt"), "new", "0o640")
    assert [one.name for one in real.parent.iterdir()] == ["real.txt"]
    real.unlink()
    assert (write_text(link, "new").is_symlink(), link.read_text(), real.exists()) == (False, "new", False)


def test_a_pipe_and_a_name_that_is_too_long_are_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("pipe")
    for name, message in (("pipe", "is a pipe or a device"), ("link", "is a pipe"), ("é" * 120, "at most 238 bytes")):
        for enter in (replacing, locked):
            with pytest.raises(InputError, match=f"{name}: .*{message}"), enter(tmp_path / name):
                pass
    assert sorted(one.name for one in tmp_path.iterdir()) == ["link", "pipe"]
    assert write_text(tmp_path / ("n" * 238), "long").read_text() == "long"


def test_planted_links_are_not_followed(tmp_path):
    other = write_text(tmp_path / "other", "precious")
    path = tmp_path / "out.jsonl"
    (tmp_path / "out.jsonl.partial").symlink_to(other)
    if os.geteuid() == 0:
        path.symlink_to(other)
        os.chown(path, 12345, 12345, follow_symlinks=False)
    write_text(path, "new")
    assert (path.read_text(), path.is_symlink()) == ("new", False)
    lock = tmp_path / ".out.jsonl.lock"
    for plant, error in ((lock.symlink_to, OSError), (lock.hardlink_to, InputError)):
        plant(other)
        with pytest.raises(error), locked(path):
            pass
        lock.unlink()
    assert other.read_text() == "precious"


def test_a_command_is_told_who_writes_to_the_same_place(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = [{"prompt_id": "p", "problem": "?", "reference": "1", "response": "1", "correct": 1, "rm_score": 0.5}]
    write_text(tmp_path / "in.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    columns = ["--verifier", "column:correct", "--reward-model", "column:rm_score"]
    for command in (
        ["score", "in.jsonl", *columns], ["verify", "in.jsonl", *columns[:2]], ["audit", "in.jsonl"],
        ["train", "tiny-cpu"], ["lab"],
    ):  # fmt: skip
        out = tmp_path / "out" / "rows.jsonl"
        out.parent.mkdir(exist_ok=True)
        with locked(out):
            assert main([*command, "-o", str(out)]) == 2
        assert f"out/rows.jsonl: in use by process {os.getpid()} on" in capsys.readouterr().err
        assert list(out.parent.iterdir()) == []
