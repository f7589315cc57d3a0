"""The environment: read as Python reads it, and each change is seen."""

from __future__ import annotations

import os

import pytest

from adapter.keys.precedence import find_key
from adapter.keys.variables import Variables, getenvs

VALUES = [None, "", " v ", "käse", "\udcff", "a=b"]


def put(monkeypatch: pytest.MonkeyPatch, value: str | None) -> None:
    if value is None:
        monkeypatch.delenv("SOME_VARIABLE", raising=False)
    else:
        monkeypatch.setenv("SOME_VARIABLE", value)


@pytest.mark.parametrize("value", VALUES)
def test_a_variable_is_read_as_python_reads_it(
    value: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(2):
        put(monkeypatch, None)
        assert getenvs(("SOME_VARIABLE", "HOME")) == (None, os.environ["HOME"])
        put(monkeypatch, value)
        assert getenvs(("SOME_VARIABLE",)) == (os.environ.get("SOME_VARIABLE"),) == (value,)


def test_a_mapping_is_read_in_its_place() -> None:
    assert getenvs(("HOME", "X"), {"X": "1"}) == (None, "1")


@pytest.mark.parametrize("after", VALUES)
@pytest.mark.parametrize("before", VALUES)
def test_a_change_is_seen(
    before: str | None, after: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(monkeypatch, before)
    known = Variables(("HOME", "SOME_VARIABLE"))

    assert known.are_still()
    put(monkeypatch, after)
    assert known.are_still() == (before == after)
    put(monkeypatch, before)
    assert known.are_still()


def test_another_mapping_may_stand_in_for_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("P_API_KEY", "first")
    known = Variables(("P_API_KEY",))
    monkeypatch.setattr(os, "environ", {"P_API_KEY": "second"})

    assert find_key("p", {}, {}).value == "second"
    assert getenvs(("Q_API_KEY",)) == (None,)
    assert not known.are_still()
