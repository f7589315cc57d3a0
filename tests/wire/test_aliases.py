"""Names of an imported ``config.yaml``: typed as they are there, they reach the same server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import litellm
import pytest

import adapter
from adapter.call.drop_ins import FUNCTIONS
from tests.command import run
from tests.recorder import Recorder
from tests.wire.test_drop_ins import CASES, case_id
from tests.wire.test_drop_ins import Case as DropIn

ALIAS = "claude-sonnet-4-6"
"""A model that LiteLLM itself has, and sends to Anthropic."""

WIRE_ID = "qwen2.5-coder:14b"

MESSAGES = [{"role": "user", "content": "hi"}]


@pytest.fixture(autouse=True)
def imported(server: Recorder, config_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Import a file with two names for one server; return what the command said."""
    monkeypatch.setenv("ANTHROPIC_API_KEY", "canary-of-anthropic")
    monkeypatch.setenv("DESK_KEY", "own-key")
    server_params = {"api_base": server.base_url, "api_key": "os.environ/DESK_KEY"}
    names = {"desk": "openai/first", ALIAS: f"openai/{WIRE_ID}"}
    model_list = [
        {"model_name": name, "litellm_params": {"model": model, **server_params}}
        for name, model in names.items()
    ]
    Path("config.yaml").write_text(json.dumps({"model_list": model_list}))
    done = run("config", "import", "config.yaml")
    assert done.code == 0, done.err
    yield done.err
    request = server.only
    if b"multipart" in request.headers["content-type"].encode():
        assert f'name="model"\r\n\r\n{WIRE_ID}\r\n'.encode() in request.raw
    else:
        assert request.body["model"] == WIRE_ID
    assert request.key == "own-key"


def test_an_import_says_which_names_hide_a_model_of_litellms(imported: str) -> None:
    where = f"note: config.yaml:1: {ALIAS}: "
    assert f"{where}hides the model that LiteLLM itself has of this name, anthropic's" in imported
    assert run("-m", ALIAS, "hi").code == 0


def test_the_command() -> None:
    assert run("-m", ALIAS, "hi").code == 0


def test_the_default_of_the_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODEL", ALIAS)
    assert run("hi").code == 0


@pytest.mark.parametrize("case", CASES, ids=case_id)
def test_the_drop_in_functions(case: DropIn) -> None:
    function = getattr(adapter, case.function)
    arguments: dict[str, Any] = {"model": ALIAS, **case.arguments}
    if case.stream:
        arguments["stream"] = True

    async def call() -> None:
        result = await function(**arguments)
        if case.stream:
            assert [chunk async for chunk in result]

    if FUNCTIONS[case.function].is_async:
        asyncio.run(call())
    elif case.stream:
        assert list(function(**arguments))
    else:
        function(**arguments)


def test_translate() -> None:
    litellm.completion(**adapter.translate(ALIAS), messages=MESSAGES)


def test_a_router() -> None:
    adapter.router(num_retries=0).completion(ALIAS, messages=MESSAGES)


def test_a_router_with_deployments_of_the_callers() -> None:
    entry = {"model_name": "mine", "litellm_params": {"model": ALIAS}}
    adapter.router(model_list=[entry], num_retries=0).completion("mine", messages=MESSAGES)


def test_a_fallback(monkeypatch: pytest.MonkeyPatch) -> None:
    adapter.completion("desk", messages=MESSAGES, fallbacks=[ALIAS], api_base="http://127.0.0.1:1")


@pytest.mark.parametrize("args", [(), ("--direct",)])
def test_a_batch(args: tuple[str, ...]) -> None:
    body = {"model": ALIAS, "messages": MESSAGES}
    line = {"custom_id": "1", "method": "POST", "url": "/v1/chat/completions", "body": body}
    Path("in.jsonl").write_text(json.dumps(line) + "\n")
    done = run("batch", "in.jsonl", "out.jsonl", *args)
    assert done.code == 0, done.err
