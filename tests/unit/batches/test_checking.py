"""The whole input is checked, and everything wrong in it is told with its line."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from adapter.batches.checking import Destination, Index, check
from adapter.batches.formats import Recipe, Request, Source
from adapter.errors import ConfigError
from tests.command import provider

Write = Callable[..., Path]


def line(custom_id: str, model: str = "p/m", **body: Any) -> dict[str, Any]:
    asked = {"model": model, "messages": [], **body}
    return {"custom_id": custom_id, "method": "POST", "url": "/v1/chat/completions", "body": asked}


def checked(
    lines: Iterable[Any], *, limit: int | None = None, direct: bool = False
) -> tuple[Index, list[Destination]]:
    texts = (one if isinstance(one, str) else json.dumps(one) for one in lines)
    Path("in.jsonl").write_text("".join(f"{text}\n" for text in texts), encoding="utf-8")
    source = Source("in.jsonl", ".", plain=False)
    try:
        return check(source, Recipe(), limit=limit, direct=direct)
    finally:
        source.close()


@pytest.fixture(autouse=True)
def configured(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("P_KEY", "sk-p")
    write(
        provider("http://localhost:1/v1", "p", api_key_env="P_KEY")
        + provider("http://localhost:2/v1", "q", api_key_env="Q_KEY")
        + provider("http://localhost:3/v1", "warm")
        + "[plugin.litellm.providers.warm]\ntemperature = 1\n"
    )


def test_lines_are_counted_by_where_they_go() -> None:
    index, places = checked([line("a"), line("b", "warm/x"), line("c"), line("d", "p/other")])

    assert [(place.name, place.lines) for place in places] == [("p", 3), ("warm", 1)]
    assert list(index.destinations) == [0, 1, 0, 0]
    assert places[0].base_url == "http://localhost:1/v1"
    assert places[0].key == "key $P_KEY"


def test_all_problems_are_told_with_their_lines() -> None:
    lines = [line("a"), "{", line("a"), line("b", "q/m"), line("c", "nobody/m"), line("d", "q/m")]

    with pytest.raises(ConfigError) as raised:
        checked(lines)

    told = [(problem.line, problem.message) for problem in raised.value.problems]
    assert told[0][0] == 2
    assert told[0][1].startswith("the line is not JSON")
    assert told[1] == (3, "custom_id 'a' repeats that of line 1")
    assert told[2][0] == 4
    assert "Q_KEY" in told[2][1]
    assert told[2][1].endswith("(and on 1 more lines)")
    assert told[3] == (5, "unknown model 'nobody/m'")
    assert raised.value.exit_code == 2


@pytest.mark.parametrize(
    ("lines", "code"),
    [
        ([line("a", "q/m")], 3),
        ([line("a", "nobody/m"), line("b", "groq")], 4),
        ([line("a", "q/m"), line("b", "nobody/m")], 2),
        ([line("a", "groq/llama")], 3),
    ],
)
def test_problems_of_one_kind_have_its_exit_code(lines: list[Any], code: int) -> None:
    with pytest.raises(ConfigError) as raised:
        checked(lines)

    assert raised.value.exit_code == code


def test_without_end_of_problems_the_rest_is_not_looked_at() -> None:
    with pytest.raises(ConfigError) as raised:
        checked([line("a", f"nobody/{n}") for n in range(1500)])

    assert len(raised.value.problems) == 1000


def test_a_limit_looks_at_the_first_lines_alone() -> None:
    index, _ = checked([line("a"), line("b"), "{"], limit=2)

    assert len(index) == 2


@pytest.mark.parametrize("model", ["warm/m", "embedded", "openai/gpt-4o"])
def test_direct_wants_bodies_that_nothing_would_change(
    model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-o")
    checked([line("a", "p/m")], direct=True)

    with pytest.raises(ConfigError, match="--direct: model"):
        checked([line("a", model)], direct=True)


def test_an_index_finds_every_line_again() -> None:
    index = Index()
    requests = [Request(n + 1, f"id-{n}", "/v1/x", {"n": n}) for n in range(5000)]

    assert {index.add(request, 0) for request in requests} == {None}
    assert [index.add(request, 0) for request in requests[::7]] == list(range(0, 5000, 7))
    assert len(index) == 5000
    assert index.find(12345) is None
