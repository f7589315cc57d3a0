"""Batch files as OpenAI's SDK and ``vllm run-batch`` have them: read, and written.

The inputs are tests/data/batches/*.jsonl. Their bodies have the fields of OpenAI's guide and of
vLLM's server, and OpenAI's are checked against the types of the SDK.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_type_hints

import openai.types as sdk
import pytest
from openai.types import chat, responses
from pydantic import BaseModel, ConfigDict, TypeAdapter

from adapter import batch
from tests.batches import read_lines, write_lines
from tests.command import ROOT, provider
from tests.recorder import REPLIES, Recorder, Reply

Write = Callable[..., Path]

DATA = ROOT / "tests/data/batches"
FILES = {path.stem: path for path in DATA.glob("*.jsonl")}

TYPES: dict[str, tuple[Any, type[BaseModel]]] = {
    "/v1/chat/completions": (
        chat.completion_create_params.CompletionCreateParamsNonStreaming,
        chat.ChatCompletion,
    ),
    "/v1/completions": (
        sdk.completion_create_params.CompletionCreateParamsNonStreaming,
        sdk.Completion,
    ),
    "/v1/embeddings": (sdk.EmbeddingCreateParams, sdk.CreateEmbeddingResponse),
    "/v1/responses": (
        responses.response_create_params.ResponseCreateParamsNonStreaming,
        responses.Response,
    ),
}
"""The SDK's types of a request and of its answer."""


class RunBatchResponse(BaseModel):
    """The ``response`` of a line, as ``vllm run-batch`` declares it."""

    model_config = ConfigDict(extra="forbid")
    status_code: int
    request_id: str
    body: dict[str, Any] | None


class RunBatchLine(BaseModel):
    """A line of its output."""

    model_config = ConfigDict(extra="forbid")
    id: str
    custom_id: str
    response: RunBatchResponse | None
    error: Any | None


def records(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in FILES[name].read_text("utf-8").splitlines() if line]


@pytest.fixture(autouse=True)
def configured(write: Write, server: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Aliases lead the models of the files, which name no provider, to one."""
    models = {record["body"]["model"] for name in FILES for record in records(name)}
    aliases = "".join(f'"{model}" = "p/{model}"\n' for model in models)
    table = f"\n[plugin.litellm.router_settings.model_group_alias]\n{aliases}"
    write(provider(server.base_url, "p", api_key_env="P_KEY") + table)
    monkeypatch.setenv("P_KEY", "sk-x")


@pytest.mark.parametrize("direct", [False, True])
@pytest.mark.parametrize("name", FILES)
def test_each_request_arrives_as_it_stands_and_its_answer_is_of_the_sdks_type(
    name: str, direct: bool, server: Recorder
) -> None:
    usage = {"input_tokens": 1, "output_tokens": 1, "total_tokens": 2}
    details = {"input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0}}
    details["output_tokens_details"] = {"reasoning_tokens": 0}
    reply = {**REPLIES["/responses"], "usage": {**usage, **details}}
    server.script = lambda request: (
        Reply(200, reply) if request.path.endswith("/responses") else None
    )

    done = batch(str(FILES[name]), "out.jsonl", direct=direct, processes=1, concurrency=1)

    assert (done.exit_code, done.failed) == (0, 0), Path("out.errors.jsonl").read_text()
    sent = [(request.path, request.body) for request in server.requests]
    assert sent == [(record["url"], record["body"]) for record in records(name)]
    urls = {record["custom_id"]: record["url"] for record in records(name)}
    for line in Path("out.jsonl").read_text("utf-8").splitlines():
        read = RunBatchLine.model_validate_json(line)
        assert read.response is not None
        TYPES[urls.pop(read.custom_id)][1].model_validate(read.response.body)
    assert urls == {}


@pytest.mark.parametrize("record", records("openai"), ids=lambda record: str(record["custom_id"]))
def test_the_bodies_of_openais_file_are_of_the_sdks_types(record: dict[str, Any]) -> None:
    TypeAdapter(TYPES[record["url"]][0]).validate_python(record["body"])


@pytest.mark.parametrize("direct", [False, True])
def test_each_field_that_the_sdk_knows_is_sent_as_it_stands(direct: bool, server: Recorder) -> None:
    """LiteLLM has ``metadata`` and ``user`` for itself, and refuses some for models by their id."""
    needed: dict[str, dict[str, Any]] = {
        "/v1/chat/completions": {"messages": [{"role": "user", "content": "x"}]},
        "/v1/completions": {"prompt": "x"},
        "/v1/embeddings": {"input": "x"},
        "/v1/responses": {"input": "x"},
    }
    bodies = [
        (url, {"model": "p/gpt-5-mini", **needed[url], name: "v"})
        for url, (create, _) in TYPES.items()
        for name in sorted(get_type_hints(create).keys() - needed[url].keys() - {"model", "stream"})
    ]
    write_lines(
        {"custom_id": str(number), "method": "POST", "url": url, "body": body}
        for number, (url, body) in enumerate(bodies)
    )

    done = batch("in.jsonl", "out.jsonl", direct=direct, processes=1, concurrency=1)

    assert (done.answered, done.requests) == (len(bodies), len(bodies))
    assert len(bodies) > 60
    sent = [(request.path, request.body) for request in server.requests]
    assert sent == [(url, {**body, "model": "gpt-5-mini"}) for url, body in bodies]


@pytest.mark.parametrize("direct", [False, True])
def test_an_answer_of_vllm_keeps_its_fields(direct: bool, server: Recorder) -> None:
    """vLLM writes ``null`` for what it has nothing to say of, and fields of its own."""
    body = json.loads((DATA / "vllm_answer.json").read_text("utf-8"))
    server.script = lambda request: Reply(200, body)

    done = batch(str(FILES["vllm"]), "out.jsonl", direct=direct, processes=1, limit=1)

    assert (done.input_tokens, done.output_tokens) == (9, 2)
    (one,) = read_lines("out.jsonl")
    written = one["response"]["body"]
    if direct:
        assert written == body
    assert written["choices"][0]["message"]["content"] == "Red"
    assert "A colour." in json.dumps(written["choices"][0]["message"])
    assert "151645" in json.dumps(written["choices"][0])


@pytest.mark.parametrize("direct", [False, True])
def test_errors_are_lines_of_the_same_form(direct: bool, server: Recorder) -> None:
    server.fail(404, "The model does not exist.")

    done = batch(
        str(FILES["vllm"]), "out.jsonl", direct=direct, processes=1, max_failures=0, retries=0
    )

    assert (done.exit_code, done.failed) == (1, 4)
    for line in Path("out.errors.jsonl").read_text("utf-8").splitlines():
        read = RunBatchLine.model_validate_json(line)
        assert read.error is None
        assert read.response is not None
        assert (read.response.status_code, read.response.body) == (
            404,
            {"error": {"message": "The model does not exist.", "type": "t", "code": 404}},
        )
