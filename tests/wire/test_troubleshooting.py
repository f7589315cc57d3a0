"""docs/troubleshooting.md: each symptom is made to happen, and gone when its fix is applied."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from adapter import load_config, translate
from tests.command import provider, run
from tests.conftest import ROOT
from tests.recorder import (
    ANSWER,
    Recorder,
    Reply,
    Request,
    chat_chunk,
    recording_server,
    write_certificate,
)
from tests.snippets import blocks_of

PAGE = blocks_of(ROOT / "docs" / "troubleshooting.md")

MODEL = "qwen3:8b"
HELLO = ("-m", "{name}", "Hello")


def shown(heading: str, language: str = "text") -> list[str]:
    """Return the blocks under a heading."""
    return [b.text for b in PAGE if (b.heading, b.language) == (heading, language)]


def server_of(request: Request) -> Reply | None:
    """Answer as a server with one model, one key that it refuses, and a picky parameter."""
    if request.path not in ("/v1/models", "/v1/chat/completions"):
        return Reply(404, {"detail": "Not Found"})
    if request.path == "/v1/models":
        return Reply(200, {"object": "list", "data": [{"id": MODEL, "object": "model"}]})
    if request.key == "gsk_wrong":
        return Reply(401, {"error": {"message": "Invalid API Key"}})
    model = request.body["model"]
    if model not in (MODEL, "Qwen/Qwen3-8B"):
        return Reply(404, {"error": {"message": f"model '{model}' not found"}})
    if "max_tokens" in request.body:
        words = "Unsupported parameter: 'max_tokens' is not supported with this model. Use "
        return Reply(400, {"error": {"message": words + "'max_completion_tokens' instead."}})
    return None


class Case(NamedTuple):
    """What goes wrong and what mends it: a path after the server's address, a model, and words.

    ``number`` is that of the message under the heading.
    """

    heading: str
    words: tuple[str, ...] = HELLO
    mended_words: tuple[str, ...] = HELLO
    path: str = "/v1"
    model: str = MODEL
    key: str | None = None
    number: int = 0


RIGHT = "gsk_right"
CASES = (
    Case("The key is not set", key=""),
    Case("401: the key is refused", key="gsk_wrong"),
    Case("404: `/v1` is missing, or there twice", path=""),
    Case("404: `/v1` is missing, or there twice", path="/v1/v1", number=1),
    Case("404: the model does not exist", model="qwen3"),
    Case(
        'Unknown model, or "LLM Provider NOT provided"',
        words=("-m", "Qwen/Qwen3-8B", "Hello"),
        mended_words=("-m", "vllm/Qwen/Qwen3-8B", "Hello"),
    ),
    Case(
        "400: a parameter is not supported",
        words=("-o", "max_tokens", "200", *HELLO),
        mended_words=("-o", "max_completion_tokens", "200", *HELLO),
        key=RIGHT,
    ),
)


@pytest.fixture
def picky(server: Recorder) -> Recorder:
    server.script = server_of
    return server


def told(outcome_err: str, origin: str, as_: str) -> str:
    return outcome_err.strip().replace(origin, as_)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.heading}-{case.number}")
def test_the_symptom_is_as_shown_and_the_fix_works(
    case: Case, picky: Recorder, write: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "vllm" if case.key is None else "groq"
    origin = "http://localhost:8000" if case.key is None else "https://api.groq.com/openai"
    named = {} if case.key is None else {"api_key_env": "GROQ_API_KEY"}
    if case.key:
        monkeypatch.setenv("GROQ_API_KEY", case.key)
    write(provider(picky.origin + case.path, name, default_model=case.model, **named))

    failed = run(*(word.format(name=name) for word in case.words))

    assert failed.code != 0
    assert told(failed.err, picky.origin, origin) == shown(case.heading)[case.number].strip()
    monkeypatch.setenv("GROQ_API_KEY", RIGHT)
    write(provider(picky.base_url, name, default_model=MODEL, **named))
    mended = run(*(word.format(name=name) for word in case.mended_words))
    assert (mended.code, mended.out) == (0, f"{ANSWER}\n"), mended.err


def test_an_old_key_in_gptmes_variable_wins(
    picky: Recorder, write: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GPTME_GROQ_API_KEY", "gsk_wrong")
    monkeypatch.setenv("GROQ_API_KEY", RIGHT)
    write(provider(picky.base_url, "groq", default_model=MODEL, api_key_env="GROQ_API_KEY"))

    assert run("-m", "groq", "Hello").code == 3
    monkeypatch.delenv("GPTME_GROQ_API_KEY")
    assert run("-m", "groq", "Hello").code == 0


def test_the_list_of_models_is_as_shown(picky: Recorder, write: Callable[..., Path]) -> None:
    (block,) = shown("404: the model does not exist", "console")
    write(provider(picky.base_url, "vllm"))

    command, _, listed = block.partition("\n")
    assert run(*command.split()[2:]).out == listed


def test_a_refused_connection_is_as_shown(picky: Recorder, write: Callable[..., Path]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        origin = f"http://127.0.0.1:{free.getsockname()[1]}"
    write(provider(f"{origin}/v1", "vllm", default_model=MODEL))

    failed = run("-m", "vllm", "Hello")

    (block,) = shown("The connection was refused")
    assert told(failed.err, origin, "http://localhost:8000") == block.strip()
    assert failed.code == 6
    write(provider(picky.base_url, "vllm", default_model=MODEL))
    assert run("-m", "vllm", "Hello").code == 0


def test_a_silent_server_is_as_shown_and_waited_for_longer(
    server: Recorder, write: Callable[..., Path]
) -> None:
    """The server says nothing until the first query has ended."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        origin = f"http://127.0.0.1:{silent.getsockname()[1]}"
        write(provider(f"{origin}/v1", "vllm", default_model=MODEL))
        failed = run("--timeout", "0.3", "-m", "vllm", "Hello")

    heading = "No answer within the time limit"
    (block,) = shown(heading)
    assert told(failed.err, origin, "http://localhost:8000") == block.strip()
    (settings,) = shown(heading, "toml")
    write(provider(server.base_url, "vllm", default_model=MODEL) + settings)
    assert translate("vllm")["timeout"] == 900
    assert run("-m", "vllm", "Hello").code == 0


def test_verbose_says_who_ran_a_query(server: Recorder, write: Callable[..., Path]) -> None:
    write(provider(server.base_url, "vllm", default_model=MODEL))

    said = run("-v", "-m", "vllm", "Hello").err.splitlines()[-1]

    (block,) = shown("The first answer is slow")
    assert re.sub(r"\d+\.\d s", "0.0 s", said) == block.strip()


@pytest.mark.parametrize(
    ("delta", "code", "number"),
    [({"reasoning_content": "Let me see."}, 7, 0), ({"content": "The answer is"}, 0, 1)],
)
def test_too_few_tokens_are_as_shown_and_more_help(
    delta: dict[str, str], code: int, number: int, server: Recorder, write: Callable[..., Path]
) -> None:
    cut = chat_chunk({"role": "assistant", **delta}) + chat_chunk({}, "length")
    server.script = lambda request: None if "max_tokens" in request.body else Reply(200, cut)
    write(provider(server.base_url, "vllm", default_model=MODEL))

    ended = run("-m", "vllm", "Hello")

    block = shown("The answer is empty, or ends in the middle")[number]
    assert told(ended.err, server.origin, "http://localhost:8000") == block.strip()
    assert ended.code == code
    assert run("-m", "vllm", "-o", "max_tokens", "4096", "Hello").out == f"{ANSWER}\n"


def test_a_prompt_that_is_too_long_is_as_shown_and_a_fallback_helps(
    server: Recorder, other_server: Recorder, write: Callable[..., Path]
) -> None:
    words = "This model's maximum context length is 8192 tokens. However, your messages resulted in"
    body = {"error": {"message": f"{words} 9000 tokens.", "code": "context_length_exceeded"}}
    server.script = lambda _: Reply(400, body)
    tables = provider(server.base_url, "vllm", default_model=MODEL)
    write(tables + provider(other_server.base_url, "groq", default_model=MODEL))

    failed = run("-m", "vllm", "Hello")

    (block,) = shown("The prompt is too long")
    assert told(failed.err, server.origin, "http://localhost:8000") == block.strip()
    assert run("-m", "vllm", "--fallback", "groq", "Hello").out == f"{ANSWER}\n"


def test_a_rate_limit_is_as_shown_and_a_fallback_helps(
    server: Recorder,
    other_server: Recorder,
    write: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server.script = lambda _: Reply(429, {"error": {"message": "Rate limit reached"}})
    monkeypatch.setenv("GROQ_API_KEY", RIGHT)
    tables = provider(server.base_url, "groq", default_model=MODEL, api_key_env="GROQ_API_KEY")
    write(tables + provider(other_server.base_url, "vllm", default_model=MODEL))

    failed = run("-m", "groq", "Hello")

    (block,) = shown("429: too many requests")
    assert told(failed.err, server.origin, "https://api.groq.com/openai") == block.strip()
    assert run("-m", "groq", "--fallback", "vllm", "Hello").out == f"{ANSWER}\n"


def test_openais_variables_reach_litellms_models_and_no_provider(
    server: Recorder,
    other_server: Recorder,
    write: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", server.base_url)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-openai")
    write(provider(other_server.base_url, "vllm", default_model=MODEL))

    said = run("-v", "-m", "gpt-4o", "Hello").err
    assert run("-m", "vllm", "Hello").code == 0

    (block,) = shown("A key or a prompt goes to the wrong server")
    assert block.strip() in said
    assert server.only.key == "sk-openai"
    assert "sk-openai" not in str(other_server.only.headers)
    assert run("providers", "add", "local-server", "--from-local").code == 0
    assert load_config().provider("local-server").base_url == server.base_url


def test_a_dead_proxy_is_as_shown_and_no_proxy_avoids_it(
    server: Recorder, write: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("NO_PROXY", "")
    write(provider("http://llm.example.org/v1", "intranet", default_model=MODEL))

    failed = run("-m", "intranet", "Hello")

    (block,) = shown("A proxy stands in the way")
    assert failed.err.strip() == block.strip()
    monkeypatch.setenv("NO_PROXY", "localhost,127.0.0.1,llm.example.org")
    write(provider(server.base_url, "intranet", default_model=MODEL))
    assert run("-m", "intranet", "Hello").code == 0


@contextmanager
def https(folder: Path) -> Iterator[tuple[Recorder, Path]]:
    certificate = folder / "ca.pem"
    write_certificate(certificate)
    with recording_server(certificate=certificate) as recorder:
        yield recorder, certificate


def test_an_unknown_certificate_is_as_shown_and_ssl_verify_trusts_it(
    tmp_path: Path, write: Callable[..., Path]
) -> None:
    heading = "The TLS certificate cannot be verified"
    with https(tmp_path) as (server, certificate):
        table = provider(server.base_url, "intranet", default_model=MODEL)
        write(table)
        failed = run("-m", "intranet", "Hello")
        (settings,) = shown(heading, "toml")
        write(table + settings.replace("/path/to/ca.pem", str(certificate)))
        mended = run("-m", "intranet", "Hello")

    (block,) = shown(heading)
    address = server.base_url.removesuffix("/v1")
    assert told(failed.err, address, "https://localhost:8443") == block.strip()
    assert (mended.code, mended.out) == (0, f"{ANSWER}\n"), mended.err


def test_both_forms_of_azures_base_go_to_the_same_address(write: Callable[..., Path]) -> None:
    (tables,) = shown("Azure: the deployment is not found", "toml")
    write(tables + '[env]\nAZURE_API_KEY = "az"\n')

    asked = [(p["api_base"], p["model"]) for p in map(translate, ("azure", "azure-v1"))]

    assert asked == [("https://my-resource.openai.azure.com/openai/v1", "openai/my-deployment")] * 2


def test_a_field_that_gptme_does_not_know_is_told_as_shown(write: Callable[..., Path]) -> None:
    table = provider("https://api.groq.com/openai/v1", "groq", default_model=MODEL)
    path = write(f"{table}timeout = 30\n")

    said = run("config", "check").out

    (block,) = shown("gptme does not see a provider")
    assert block.replace("/home/me/.config/gptme/gptme.toml", str(path)) in said
    write(f"{table}[plugin.litellm.providers.groq]\ntimeout = 30\n")
    assert "unknown field" not in run("config", "check").out


def test_every_message_of_the_page_is_compared_here() -> None:
    source = Path(__file__).read_text(encoding="utf-8")

    assert [b.heading for b in PAGE if b.language == "text" and b.heading not in source] == []
