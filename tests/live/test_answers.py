"""The embedded model through the whole product: the drop-in functions and the command."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import subprocess
from collections.abc import Callable
from typing import Any

import pytest

import adapter as library

QUESTION = "Explain quantum computing in one sentence."

pytestmark = [
    pytest.mark.live,
    pytest.mark.skipif(
        importlib.util.find_spec("xllamacpp") is None, reason="xllamacpp is not installed"
    ),
]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("is_async", [False, True])
def test_completion_answers(is_async: bool, stream: bool) -> None:
    messages = [{"role": "user", "content": QUESTION}]
    arguments: dict[str, Any] = {"model": "embedded", "messages": messages, "stream": stream}

    async def arun() -> list[Any]:
        result = await library.acompletion(**arguments)
        return [chunk async for chunk in result] if stream else [result]

    def run() -> list[Any]:
        result = library.completion(**arguments)
        return list(result) if stream else [result]

    received = asyncio.run(arun()) if is_async else run()

    parts = [c.choices[0].delta if stream else c.choices[0].message for c in received]
    assert "quantum" in "".join(p.content or "" for p in parts).lower()
    assert len(received) > 10 or not stream


@pytest.mark.parametrize(
    "options", [["--stream"], ["--no-stream"], ["-m", "embedded/any"]], ids=str
)
def test_the_command_answers(
    options: list[str], adapter: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    done = adapter(*options, QUESTION)

    assert done.returncode == 0, done.stderr
    assert "quantum" in done.stdout.lower()
    assert done.stdout.endswith("\n")
    assert not done.stdout.endswith("\n\n")
    assert ("using the embedded one" in done.stderr) == ("-m" not in options)


def test_a_proxy_of_the_environment_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_PROXY")
    for name in ("HTTP_PROXY", "http_proxy", "no_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9" if "http" in name.lower() else "example.com")

    result = library.completion(
        model="embedded", messages=[{"role": "user", "content": "Say hi"}], max_tokens=4
    )

    assert result.choices[0].message.content


def test_an_answer_holds_a_strict_schema(
    adapter: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    schema = {
        "type": "object",
        "properties": {"colour": {"enum": ["red", "green"]}, "n": {"type": "integer"}},
        "required": ["colour", "n"],
        "additionalProperties": False,
    }
    done = adapter("-m", "embedded", "--schema", json.dumps(schema), "-u", "Pick a colour.")

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["colour"] in ("red", "green")
    assert "tokens in" in done.stderr


def test_an_answer_holds_its_schema(
    adapter: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    schema = {
        "type": "object",
        "properties": {"city": {"type": "string", "maxLength": 40}, "big": {"type": "boolean"}},
        "required": ["city", "big"],
        "additionalProperties": False,
    }
    done = adapter("-m", "embedded", "--schema", json.dumps(schema), "Name a city in France.")

    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert isinstance(answer["city"], str)
    assert isinstance(answer["big"], bool)
