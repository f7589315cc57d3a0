"""Whether a file has changed since the configuration was read from it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from adapter.config.loading import GRAIN_NS, Config, load_config
from adapter.editing.writing import write_file

Write = Callable[..., Path]

OLD = 10**18
"""2001, in nanoseconds: a time that no clock here gives."""


def read_later(monkeypatch: pytest.MonkeyPatch, now: int) -> Config:
    """Return the configuration as it is read at ``now``, in nanoseconds."""
    with monkeypatch.context() as patch:
        patch.setattr("adapter.config.loading._configs", {})
        patch.setattr("adapter.config.loading.time.time_ns", lambda: now)
        return load_config()


def test_each_change_is_seen(
    write: Write, config_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, other = config_dir / "gptme.toml", config_dir / "other"
    other.write_text("# other")
    changes: dict[str, Callable[[], object]] = {
        "appears": lambda: write("# one"),
        "is appended to": lambda: write("# longer"),
        "gets another mode": lambda: path.chmod(0o640),
        "gets another time": lambda: os.utime(path, ns=(OLD, OLD)),
        "is replaced": lambda: other.replace(path),
        "goes": path.unlink,
    }
    for what, change in changes.items():
        config = read_later(monkeypatch, 2 * OLD)
        assert not config.has_changed(), what
        change()
        assert config.has_changed(), what


class TestALookCountsForATenthOfASecond:
    @pytest.fixture(autouse=True)
    def _for_an_hour(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("adapter.config.loading.LOOK_SECONDS", 3600)

    def test_until_then_a_change_by_others_does_not_show(
        self, write: Write, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        write("[env]\nA = 'old'\n")
        before = load_config()
        write("[env]\nA = 'newer'\n")
        assert load_config() is before
        later = time.monotonic() + 3600
        monkeypatch.setattr("adapter.config.loading.time.monotonic", lambda: later)
        assert load_config().getenv("A") == "newer"

    def test_what_this_process_writes_counts_at_once(self, write: Write) -> None:
        path = write("[env]\nA = 'old'\n")
        assert load_config().getenv("A") == "old"
        write_file(path, "[env]\nA = 'newer'\n")
        assert load_config().getenv("A") == "newer"

    @pytest.mark.parametrize("variable", ["ADAPTER_CONFIG", "XDG_CONFIG_HOME", "HOME"])
    def test_another_place_counts_at_once(
        self, write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str
    ) -> None:
        write("[env]\nA = 'here'\n")
        assert load_config().getenv("A") == "here"
        place = tmp_path / "elsewhere"
        names = {"ADAPTER_CONFIG": "", "XDG_CONFIG_HOME": "gptme/", "HOME": ".config/gptme/"}
        file = place / names[variable] / "gptme.toml"
        file.parent.mkdir(parents=True)
        file.write_text("[env]\nA = 'there'\n")
        if variable == "HOME":
            monkeypatch.delenv("XDG_CONFIG_HOME")
            load_config()
        monkeypatch.setenv(variable, str(file if variable == "ADAPTER_CONFIG" else place))
        assert load_config().getenv("A") == "there"

    def test_a_relative_path_is_that_of_the_working_directory_now(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in ("one", "two"):
            (tmp_path / name).mkdir()
            (tmp_path / name / "a.toml").write_text(f"[env]\nA = '{name}'\n")
        for name in ("one", "two"):
            monkeypatch.chdir(tmp_path / name)
            assert load_config("a.toml").getenv("A") == name


def test_of_two_times_each_makes_a_state_uncertain(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write("")
    os.utime(path, ns=(OLD, OLD))
    for moment in (OLD, path.stat().st_ctime_ns):
        for apart, uncertain in ((GRAIN_NS - 1, True), (GRAIN_NS, False)):
            for now in (moment + apart, moment - apart):
                assert read_later(monkeypatch, now).has_changed() is uncertain


def test_each_part_of_a_state_counts(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the clock is coarse, size and inode tell what the times do not."""
    write("")
    config = read_later(monkeypatch, 2 * OLD)
    (at,) = [i for i, state in enumerate(config.states) if state]
    state = config.states[at]
    assert state
    for part in range(len(state)):
        other = (*state[:part], state[part] ^ 1, *state[part + 1 :])
        states = (*config.states[:at], other, *config.states[at + 1 :])
        assert replace(config, states=states).has_changed(), part


@pytest.mark.parametrize("name", ["a\0b", "käse", "\udcff", chr(0xD800), "file/inside", "x" * 300])
def test_any_name_may_be_asked_for(name: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "a").touch()  # what a name with NUL in it is to C

    assert not Config(paths=(f"{tmp_path}/{name}",), states=(None,)).has_changed()
