"""The cache file: bounded, shared by processes, whole after a kill, and never in the way of a run."""

from __future__ import annotations

import json
import os
import pickle
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from hero_rl.cache import Cache, digest
from hero_rl.errors import InputError

WRITER = """
import os, sys
from hero_rl.cache import Cache, digest
path, name, batches = sys.argv[1], sys.argv[2], int(sys.argv[3])
with Cache(path) as cache:
    for batch in range(batches):
        # half of the keys are everybody's, half are this process's own
        shared = {digest("shared", batch, i): b"%d-%d" % (batch, i) for i in range(20)}
        own = {digest(name, batch, i): name.encode() for i in range(20)}
        cache.put_many({**shared, **own})
        assert cache.get_many(list(shared)) == shared
        if batch == 3:
            print("busy", flush=True)
print("errors", cache.stats().errors, flush=True)
"""


def entries(count: int, *, name: str = "k", size: int = 8) -> dict[bytes, bytes]:
    return {digest(name, i): bytes([i % 256]) * size for i in range(count)}


def writer(path: Path, name: str, batches: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path), name, str(batches)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def test_what_was_stored_is_found_and_nothing_else(tmp_path: Path) -> None:
    stored = entries(2500)
    with Cache(tmp_path / "deep" / "er" / "cache.sqlite") as cache:
        cache.put_many(stored)
        absent = list(entries(10, name="absent"))
        assert cache.get_many([*stored, *absent]) == stored
        assert cache.get_many([]) == {}
    with Cache(tmp_path / "deep" / "er" / "cache.sqlite") as cache:
        assert cache.get_many(list(stored)) == stored
        assert cache.stats().rows == 2500


def test_a_key_keeps_its_first_value(tmp_path: Path) -> None:
    with Cache(tmp_path / "c") as cache:
        cache.put_many({digest(1): b"one"})
        before = cache.stats()
        cache.put_many({digest(1): b"another"})
        assert cache.get_many([digest(1)]) == {digest(1): b"one"}
        assert cache.stats() == before
        cache.delete_many([digest(1), digest(2)])
        assert cache.stats().rows == 0


def test_the_file_holds_what_it_may_and_no_more(tmp_path: Path) -> None:
    limit = 2_000_000
    with Cache(tmp_path / "c", max_bytes=limit) as cache:
        for batch in range(60):
            cache.put_many(entries(1000, name=f"b{batch}", size=50))
            assert cache.stats().bytes <= limit
        stats = cache.stats()
    assert stats.rows * 50 < limit < 60_000 * 50
    assert stats.evicted == 60_000 - stats.rows
    size = (tmp_path / "c").stat().st_size
    assert 0.4 * limit < size < 1.3 * limit  # the estimate is near what the disk shows


def test_the_row_used_longest_ago_goes_first(tmp_path: Path) -> None:
    hot, old, new = entries(200, name="hot"), entries(2000, name="old"), entries(400, name="new")
    with Cache(tmp_path / "c") as cache:
        cache.put_many({**hot, **old})
        full = cache.stats().bytes
    with sqlite3.connect(tmp_path / "c") as connection:
        connection.execute("UPDATE entries SET used = used - 1000")  # old enough that reading a row renews its time of use
    with Cache(tmp_path / "c", max_bytes=full) as cache:
        assert cache.get_many(list(hot)) == hot
        cache.put_many(new)
        assert cache.get_many(list(hot)) == hot
        assert cache.get_many(list(new)) == new
        assert 0 < len(cache.get_many(list(old))) < 2000


def test_several_processes_write_and_read_at_once(tmp_path: Path) -> None:
    writers = [writer(tmp_path / "c", f"w{i}", 25) for i in range(4)]  # all of them make the file, too
    for process in writers:
        out, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
        assert "errors 0" in out
    with Cache(tmp_path / "c") as cache:
        assert cache.stats().rows == 25 * 20 * 5
        assert cache.get_many([digest("w3", 24, 19)]) == {digest("w3", 24, 19): b"w3"}


def test_a_process_killed_in_mid_write_costs_its_own_batch_and_nothing_else(tmp_path: Path) -> None:
    with Cache(tmp_path / "c") as cache:
        cache.put_many(entries(100))
    for attempt in range(3):
        process = writer(tmp_path / "c", f"killed{attempt}", 100_000)
        assert process.stdout is not None
        assert process.stdout.readline() == "busy\n"
        time.sleep(0.05 * attempt)
        process.send_signal(signal.SIGKILL)
        process.communicate()
    with Cache(tmp_path / "c", busy_timeout_s=5) as cache:
        assert cache.get_many(list(entries(100))) == entries(100)
        for attempt in range(3):
            batches = [len(cache.get_many([digest(f"killed{attempt}", batch, i) for i in range(20)])) for batch in range(5000)]
            assert set(batches) <= {0, 20}  # whole batches only
            assert batches[:4] == [20] * 4
        cache.put_many(entries(5, name="after"))
        assert cache.stats().errors == 0
    assert sqlite3.connect(tmp_path / "c").execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_a_damaged_cache_is_refused_at_the_start_and_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "c"
    with Cache(path) as cache:
        cache.put_many(entries(3000))
    content = bytearray(path.read_bytes())
    content[100:] = os.urandom(len(content) - 100)
    path.write_bytes(content)
    with pytest.raises(InputError, match="or a damaged one; give another path, or delete it"):
        Cache(path)
    assert path.read_bytes() == content


def test_damage_that_shows_in_mid_run_costs_stored_results_only(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "c"
    with Cache(path) as cache:
        cache.put_many(entries(5000))
    content = bytearray(path.read_bytes())
    content[20_000:] = os.urandom(len(content) - 20_000)
    path.write_bytes(content)
    cache = Cache(path)
    assert len(cache.get_many(list(entries(5000)))) < 5000
    cache.put_many(entries(10, name="new"))
    assert cache.stats().errors >= 1
    assert "going on without" in caplog.text
    cache.close()


def test_a_file_that_is_no_cache_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    text = tmp_path / "rollouts.jsonl"
    text.write_text('{"prompt_id": "p"}\n' * 200)
    with pytest.raises(InputError, match="no cache of hero-rl"):
        Cache(text)
    assert text.read_text() == '{"prompt_id": "p"}\n' * 200
    other = sqlite3.connect(tmp_path / "other.db")
    other.execute("CREATE TABLE mine (x)")
    other.close()
    with pytest.raises(InputError, match="holds something else"):
        Cache(tmp_path / "other.db")
    with pytest.raises(InputError, match="cannot be used"):
        Cache(text / "below")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["other.db", "rollouts.jsonl"]


def test_a_writer_that_never_lets_go_costs_a_warning_and_not_the_run(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    cache = Cache(tmp_path / "c", busy_timeout_s=0.1)
    cache.put_many(entries(3))
    blocker = sqlite3.connect(tmp_path / "c", isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    cache.put_many(entries(3, name="lost"))
    cache.put_many(entries(3, name="lost"))
    assert cache.get_many(list(entries(3))) == entries(3)  # readers do not wait
    assert caplog.text.count("locked") == 1
    assert cache.stats().errors == 2
    blocker.execute("ROLLBACK")
    cache.put_many(entries(3, name="later"))
    assert len(cache.get_many(list(entries(3, name="later")))) == 3
    cache.close()


def test_closing_twice_is_safe_and_use_opens_it_again(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "c")
    cache.put_many(entries(3))
    cache.close()
    cache.close()
    assert cache.get_many(list(entries(3))) == entries(3)
    copy = pickle.loads(pickle.dumps(cache))
    assert copy.get_many(list(entries(3))) == entries(3)
    copy.close()
    cache.close()


def test_threads_share_it(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "c")
    wrong: list[object] = []

    def work(name: str) -> None:
        for batch in range(10):
            mine = entries(50, name=f"{name}-{batch}")
            cache.put_many(mine)
            if cache.get_many(list(mine)) != mine:
                wrong.append(name)

    threads = [threading.Thread(target=work, args=(f"t{i}",)) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert cache.stats().rows == 6 * 10 * 50
    cache.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_forked_process_opens_it_for_itself(tmp_path: Path) -> None:
    script = f"""
import os
from hero_rl.cache import Cache, digest
cache = Cache({str(tmp_path / "c")!r})
cache.put_many({{digest("parent"): b"p"}})
child = os.fork()
if child == 0:
    cache.put_many({{digest("child", i): b"c" for i in range(500)}})
    os._exit(0 if cache.get_many([digest("parent")]) else 1)
assert os.waitpid(child, 0)[1] == 0
cache.put_many({{digest("parent", 2): b"p"}})
print(cache.stats().rows, cache.stats().errors)
"""
    out = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60).stdout
    assert out.split() == ["502", "0"]


def test_there_is_no_pickle_in_the_file(tmp_path: Path) -> None:
    with Cache(tmp_path / "c") as cache:
        cache.put_many({digest(1): json.dumps(["correct"]).encode()})
    tables = sqlite3.connect(tmp_path / "c").execute("SELECT typeof(key), value FROM entries").fetchall()
    assert tables == [("blob", b'["correct"]')]


@pytest.mark.parametrize("options", [{"max_bytes": 0}, {"busy_timeout_s": -1.0}])
def test_options_out_of_range_are_refused(tmp_path: Path, options: dict[str, float]) -> None:
    with pytest.raises(InputError, match=next(iter(options))):
        Cache(tmp_path / "c", **options)  # type: ignore[arg-type]
