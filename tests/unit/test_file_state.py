"""Whether a file has changed: both ways to look see the same, which is what ``os.stat`` sees."""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from adapter.config import file_state
from adapter.config.file_state import GRAIN_NS, are_still, encoded, look_in_one_go, settled

HAS_STATX = hasattr(ctypes.CDLL(None), "statx") if os.name == "posix" else False

Make = Callable[[Path], object]


def link_to(target: str) -> Make:
    return lambda path: path.symlink_to(target)


def aged(nanoseconds: int) -> Make:
    def make(path: Path) -> None:
        path.write_text("old")
        os.utime(path, ns=(nanoseconds, nanoseconds))

    return make


THINGS: dict[str, Make] = {
    "nothing": lambda path: None,
    "empty": lambda path: path.touch(),
    "text": lambda path: path.write_text("x" * 5000),
    "folder": lambda path: path.mkdir(),
    "private": lambda path: path.touch(0o600),
    "before 1970": aged(-1),
    "far in the future": aged(4_000_000_000_123_456_789),
    "link": link_to("/"),
    "link to nothing": link_to("nowhere"),
    "link to itself": link_to("thing"),
    "pipe": os.mkfifo,
}


def by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look as a process does that has not made a call yet; another way is for this test alone."""
    monkeypatch.setattr(file_state, "_look", file_state._by_stat)


@pytest.fixture(params=["by stat", "in one go"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    by_default(monkeypatch)
    if request.param == "in one go":
        if not HAS_STATX:
            pytest.skip("no statx here")
        look_in_one_go()
        assert file_state._look is not file_state._by_stat
    return str(request.param)


def state_of(path: str) -> Any:
    return file_state.state_of(encoded(path))


def is_still(path: str, known: Any) -> bool:
    return are_still([encoded(path)], [known])


def by_os(path: str) -> Any:
    try:
        info = os.stat(path)
    except (OSError, ValueError):
        return None
    times = *divmod(info.st_ctime_ns, 10**9), *divmod(info.st_mtime_ns, 10**9)
    return struct.pack("=H2xQQqI4xqI4x", info.st_mode, info.st_ino, info.st_size, *times)


@pytest.mark.parametrize("thing", THINGS)
def test_the_state_is_what_stat_tells(thing: str, way: str, tmp_path: Path) -> None:
    path = tmp_path / "thing"
    THINGS[thing](path)

    assert state_of(str(path)) == by_os(str(path))
    assert is_still(str(path), by_os(str(path)))


def test_of_two_times_each_makes_a_state_uncertain(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.touch()
    for modified in (-1, 5_000_000_007, 4_000_000_000_123_456_789):
        os.utime(path, ns=(modified, modified))
        state = state_of(str(path))
        for time in (modified, path.stat().st_ctime_ns):
            assert settled(state, time + GRAIN_NS - 1) == settled(state, time - GRAIN_NS + 1) == b""
            assert settled(state, time + GRAIN_NS) == settled(state, time - GRAIN_NS) == state
    assert settled(None, modified) is None


@pytest.mark.parametrize("name", ["a\0b", "käse", "\udcff", chr(0xD800), "file/inside", "x" * 300])
def test_any_name_may_be_asked_for(name: str, way: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "a").touch()  # what a name with NUL in it is to C
    path = f"{tmp_path}/{name}"

    assert state_of(path) == by_os(path) is None
    assert is_still(path, None)


def test_each_change_is_seen(way: str, tmp_path: Path) -> None:
    path, other = tmp_path / "a", tmp_path / "b"
    known = state_of(str(path))
    other.write_text("other")
    changes: dict[str, Callable[[], object]] = {
        "appears": lambda: path.write_text("one"),
        "is appended to": lambda: path.write_text("longer"),
        "gets another mode": lambda: path.chmod(0o640),
        "gets another time": lambda: os.utime(path, ns=(5, 5)),
        "is replaced": lambda: other.replace(path),
        "goes": path.unlink,
    }
    for what, change in changes.items():
        assert is_still(str(path), known), what
        change()
        assert not is_still(str(path), known), what
        known = state_of(str(path))


def test_each_part_of_a_state_counts(way: str, tmp_path: Path) -> None:
    """Where the clock is coarse, size and inode tell what the times do not."""
    path = tmp_path / "a"
    path.write_text("a")
    known = state_of(str(path))

    for at in range(len(known)):
        other = known[:at] + bytes([known[at] ^ 1]) + known[at + 1 :]
        assert not is_still(str(path), other), at


@pytest.mark.skipif(not HAS_STATX, reason="no statx here")
def test_where_statx_is_forbidden_stat_is_asked(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As in a sandbox older than that system call."""
    by_default(monkeypatch)
    monkeypatch.setattr(file_state, "STATX_BASIC_STATS", 0x80000000)  # EINVAL: a reserved bit
    look_in_one_go()
    path = tmp_path / "a"
    path.write_text("a")
    known = by_os(str(path))

    assert is_still(str(path), known)
    path.write_text("longer")
    assert not is_still(str(path), known)
    path.unlink()
    assert not is_still(str(path), known)


@pytest.mark.parametrize("error", [AttributeError, OSError, TypeError])
def test_where_there_is_no_statx_nothing_changes(
    error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on macOS, and as on Windows."""

    def no_library(*_: Any, **__: Any) -> Any:
        raise error

    by_default(monkeypatch)
    monkeypatch.setattr(ctypes, "PyDLL", no_library)
    look_in_one_go()

    assert file_state._look is file_state._by_stat


def test_all_of_several_files_are_looked_at(way: str, tmp_path: Path) -> None:
    names = [encoded(str(tmp_path / name)) for name in "abc"]
    (tmp_path / "b").write_text("b")
    known = [file_state.state_of(name) for name in names]

    assert are_still(names, known)
    for name in "abc":
        (tmp_path / name).write_text("another")
        assert not are_still(names, known)
        known = [file_state.state_of(n) for n in names]
