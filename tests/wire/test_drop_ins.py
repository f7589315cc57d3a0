"""Every drop-in function, sync, async and streamed, as the server sees it."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import adapter
from adapter.call.drop_ins import FUNCTIONS
from tests.recorder import ANSWER, Recorder

Write = Callable[..., Path]

MODEL = "org/a model:7b"  # slashes, colons and spaces are the server's business


class Case(NamedTuple):
    function: str
    path: str
    arguments: dict[str, Any]
    type_name: str
    stream: bool = False


MESSAGES = [{"role": "user", "content": "hi"}]
WAV = ("a.wav", b"RIFF")

BASE_CASES = (
    Case("completion", "/v1/chat/completions", {"messages": MESSAGES}, "ModelResponse"),
    Case("completion", "/v1/chat/completions", {"messages": MESSAGES}, "CustomStreamWrapper", True),
    Case("text_completion", "/v1/completions", {"prompt": "hi"}, "TextCompletionResponse"),
    Case(
        "text_completion", "/v1/completions", {"prompt": "hi"}, "TextCompletionStreamWrapper", True
    ),
    Case("embedding", "/v1/embeddings", {"input": ["hi"]}, "EmbeddingResponse"),
    Case("responses", "/v1/responses", {"input": "hi"}, "ResponsesAPIResponse"),
    Case("image_generation", "/v1/images/generations", {"prompt": "hi"}, "ImageResponse"),
    Case("transcription", "/v1/audio/transcriptions", {"file": WAV}, "TranscriptionResponse"),
    Case("speech", "/v1/audio/speech", {"input": "hi", "voice": "v"}, "HttpxBinaryResponseContent"),
    Case("moderation", "/v1/moderations", {"input": "hi"}, "OpenAIModerationResponse"),
)
CASES = [
    *BASE_CASES,
    *(case._replace(function=f"a{case.function}") for case in BASE_CASES),
    Case("batch_completion", "/v1/chat/completions", {"messages": [MESSAGES]}, "list"),
]

DECOYS = {
    "OPENAI_API_KEY": "decoy-key",
    "OPENAI_ADMIN_KEY": "decoy-admin",
    "OPENAI_ORG_ID": "decoy-org",
    "OPENAI_ORGANIZATION": "decoy-organization",
    "OPENAI_PROJECT_ID": "decoy-project",
    "OPENAI_CUSTOM_HEADERS": "X-Decoy: decoy-header\nAuthorization: Bearer decoy-bearer",
    "OPENAI_BASE_URL": "http://127.0.0.1:9/decoy",
    "OPENAI_API_BASE": "http://127.0.0.1:9/decoy",
}


@pytest.fixture
def provider(write: Write, server: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    """One provider, ``p-1``, at the recording server, among decoys for everything of OpenAI's."""
    write(f'[[providers]]\nname = "p-1"\nbase_url = "{server.base_url}/"\n')
    monkeypatch.setenv("P_1_API_KEY", "own-key")
    for name, value in DECOYS.items():
        monkeypatch.setenv(name, value)


def call(case: Case, **more: Any) -> Any:
    """Call the drop-in and read a stream to its end; return what it returned, or the chunks."""
    function = getattr(adapter, case.function)
    arguments = {"model": f"p-1/{MODEL}", **case.arguments, **more}
    if case.stream:
        arguments["stream"] = True
    if not FUNCTIONS[case.function].is_async:
        result = function(**arguments)
        return (result, list(result)) if case.stream else result

    async def run() -> Any:
        result = await function(**arguments)
        return (result, [c async for c in result]) if case.stream else result

    return asyncio.run(run())


def case_id(case: Case) -> str:
    return f"{case.function}{'-stream' if case.stream else ''}"


def test_every_drop_in_has_a_case() -> None:
    assert {case.function for case in CASES} == set(FUNCTIONS)


@pytest.mark.usefixtures("provider")
@pytest.mark.parametrize("case", CASES, ids=case_id)
def test_the_request_goes_to_the_provider_with_its_key_and_nothing_of_openai(
    case: Case, server: Recorder
) -> None:
    result = call(case)

    request = server.only
    assert request.path == case.path
    assert request.headers["authorization"] == "Bearer own-key"
    if b"multipart" in request.headers["content-type"].encode():
        assert f'name="model"\r\n\r\n{MODEL}\r\n'.encode() in request.raw
    else:
        assert request.body["model"] == MODEL
        assert request.body.get("stream", False) is case.stream
    assert "decoy" not in str(request.headers)
    assert b"decoy" not in request.raw
    assert {"openai-organization", "openai-project", "x-decoy"}.isdisjoint(request.headers)
    shown = result[0] if case.stream else result
    assert type(shown).__name__ == case.type_name
    if case.stream and "text" not in case.function:
        text = "".join(chunk.choices[0].delta.content or "" for chunk in result[1])
        assert text == ANSWER


@pytest.mark.usefixtures("provider")
@pytest.mark.parametrize("model", ["responses/m", "responses/responses/m", "chat/m", "openai/m"])
@pytest.mark.parametrize("case", CASES, ids=case_id)
def test_words_that_litellm_takes_for_its_own_stay_in_the_model_id(
    case: Case, model: str, server: Recorder
) -> None:
    call(case, model=f"p-1/{model}")

    assert server.only.path == case.path
    if server.only.headers["content-type"] == "application/json":
        assert server.only.body["model"] == model


@pytest.mark.usefixtures("provider")
@pytest.mark.parametrize("case", CASES, ids=case_id)
def test_positional_arguments_mean_what_they_mean_in_litellm(case: Case, server: Recorder) -> None:
    import litellm

    twin = FUNCTIONS[case.function].signature
    order = list(inspect.signature(getattr(litellm, twin)).parameters)
    named = {**case.arguments, "model": f"p-1/{MODEL}"}
    leading = []
    for name in order:
        if name not in named:
            break
        leading.append(named.pop(name))
    assert leading, "nothing could be given by position"
    function = getattr(adapter, case.function)
    if FUNCTIONS[case.function].is_async:
        asyncio.run(function(*leading, **named))
    else:
        function(*leading, **named)

    assert server.only.path == case.path


@pytest.mark.usefixtures("provider")
@pytest.mark.parametrize("case", CASES, ids=case_id)
@pytest.mark.parametrize("absent", [None, ""])
def test_an_absent_key_of_the_caller_never_becomes_openais(
    case: Case, absent: str | None, server: Recorder
) -> None:
    call(case, api_key=absent)

    assert server.only.headers["authorization"] == "Bearer own-key"


@pytest.mark.usefixtures("provider")
def test_without_any_key_the_placeholder_is_sent_not_openais(
    server: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("P_1_API_KEY")

    adapter.completion(model="p-1/m", messages=MESSAGES)

    assert server.only.headers["authorization"] == "Bearer default-key"


@pytest.mark.usefixtures("provider")
def test_the_callers_organization_is_the_callers_to_name(server: Recorder) -> None:
    adapter.completion(model="p-1/m", messages=MESSAGES, organization="mine")

    adapter.completion(model="p-1/m", messages=MESSAGES, project="mine")

    first, second = server.requests
    assert first.headers["openai-organization"] == "mine"
    assert "openai-project" not in first.headers
    assert second.headers["openai-project"] == "mine"
    assert "openai-organization" not in second.headers
    assert "project" not in second.body


def test_the_callers_custom_llm_provider_replaces_the_prefix(
    write: Write, server: Recorder
) -> None:
    write(f'[[providers]]\nname = "p"\nbase_url = "{server.base_url}"\n')

    adapter.completion(model="p/m", messages=MESSAGES, custom_llm_provider="hosted_vllm")

    assert server.only.body["model"] == "m"


def test_another_provider_class_gets_a_key_only_from_the_caller(
    write: Write, server: Recorder
) -> None:
    """It may have a host of its own: LiteLLM's ``replicate`` goes to api.replicate.com."""
    write(
        f'[[providers]]\nname = "p"\nbase_url = "{server.base_url}"\napi_key = "sk-of-p"\n'
        '[plugin.litellm.providers.p]\nextra_headers = { X-Secret-Token = "of-p" }\n'
    )
    ask = partial(adapter.completion, "p/m", messages=MESSAGES)

    ask(custom_llm_provider="hosted_vllm")
    ask(custom_llm_provider="hosted_vllm", api_key="sk-of-the-caller")
    ask(custom_llm_provider="openai")

    sent = [(request.key, request.headers.get("x-secret-token")) for request in server.requests]
    assert sent == [("default-key", None), ("sk-of-the-caller", None), ("sk-of-p", "of-p")]


def test_an_error_names_the_base_and_key_that_the_caller_gave(
    write: Write, server: Recorder
) -> None:
    import litellm

    write('[[providers]]\nname = "p"\nbase_url = "http://127.0.0.1:9/v1"\napi_key = "own-key"\n')
    server.fail(401)
    for key in ("given-key", None):
        with pytest.raises(litellm.AuthenticationError) as caught:
            adapter.completion(
                model="p/m", messages=MESSAGES, api_base=server.base_url, api_key=key
            )
        (note,) = getattr(caught.value, "__notes__", [])
        assert f"base_url {server.base_url}, key " in note
        assert ("given in the call" in note) == (key is not None)
        assert "given-key" not in note


@pytest.mark.usefixtures("provider")
def test_headers_set_after_the_first_call_do_not_reach_the_second(
    server: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    adapter.completion(model="p-1/m", messages=MESSAGES)
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "X-Later: decoy")
    monkeypatch.setenv("OPENAI_PROJECT_ID", "decoy-later")
    adapter.completion(model="p-1/m", messages=MESSAGES)

    assert "decoy" not in str(server.requests[1].headers)


@pytest.mark.parametrize("prefix", ["openai", "groq", "azure", "anthropic", "responses", "local"])
def test_a_configured_name_beats_a_built_in_one(
    prefix: str, write: Write, server: Recorder
) -> None:
    write(f'[[providers]]\nname = "{prefix}"\nbase_url = "{server.base_url}"\n')

    adapter.completion(model=f"{prefix}/openai/gpt-oss", messages=MESSAGES)

    assert server.only.body["model"] == "openai/gpt-oss"


def test_extras_reach_the_request_and_the_caller_wins(write: Write, server: Recorder) -> None:
    write(
        f'[[providers]]\nname = "p"\nbase_url = "{server.base_url}"\ndefault_model = "m"\n'
        "[plugin.litellm.providers.p]\nmax_tokens = 7\ntemperature = 0.5\n"
        'extra_headers = {"X-Team" = "a", "X-Site" = "b"}\n'
    )

    adapter.completion(
        model="p", messages=MESSAGES, temperature=0.25, extra_headers={"X-Site": "c"}
    )

    assert server.only.body["max_tokens"] == 7
    assert server.only.body["temperature"] == 0.25
    assert server.only.headers["x-team"] == "a"
    assert server.only.headers["x-site"] == "c"


@pytest.mark.parametrize("argument", ["api_base", "base_url"])
def test_another_base_does_not_get_the_providers_key_or_headers(
    argument: str, write: Write, server: Recorder, other_server: Recorder
) -> None:
    write(
        f'[[providers]]\nname = "p"\nbase_url = "{server.base_url}"\napi_key = "own-key"\n'
        '[plugin.litellm.providers.p]\nextra_headers = {"X-Secret" = "s"}\n'
    )

    elsewhere: dict[str, Any] = {argument: other_server.base_url}
    adapter.completion(model="p/m", messages=MESSAGES, **elsewhere)
    adapter.completion(model="p/m", messages=MESSAGES, api_key="given", **elsewhere)

    assert server.requests == []
    assert [r.key for r in other_server.requests] == ["default-key", "given"]
    assert all("x-secret" not in r.headers for r in other_server.requests)


def test_the_callers_client_is_used(write: Write, server: Recorder) -> None:
    import openai

    write('[[providers]]\nname = "p-1"\nbase_url = "http://127.0.0.1:9/v1"\n')

    client = openai.OpenAI(
        api_key="clients-own", base_url=server.base_url, default_headers={"X-Client": "yes"}
    )
    adapter.completion(model="p-1/m", messages=MESSAGES, client=client)

    assert server.only.headers["x-client"] == "yes"
    assert server.only.key == "clients-own"


def test_what_is_not_ours_goes_to_litellm_untouched(
    server: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOSTED_VLLM_API_KEY", "litellms-own")
    monkeypatch.setenv("HOSTED_VLLM_API_BASE", server.base_url)

    adapter.completion(model="hosted_vllm/some-model", messages=MESSAGES)

    assert server.only.body["model"] == "some-model"
    assert server.only.key == "litellms-own"


def test_a_model_is_chosen_when_none_is_named(write: Write, server: Recorder) -> None:
    write(
        f'[models]\ndefault = "p/chosen"\n[[providers]]\nname = "p"\n'
        f'base_url = "{server.base_url}"\n'
    )

    adapter.completion(messages=MESSAGES)

    assert server.only.body["model"] == "chosen"


def test_the_azure_example_goes_to_the_resources_v1_base(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    import respx

    write(
        '[[providers]]\nname = "azure-gpt4"\n'
        'base_url = "https://my-endpoint.openai.azure.com/openai/deployments"\n'
        'api_key_env = "AZURE_API_KEY"\ndefault_model = "gpt-4"\n'
    )
    monkeypatch.setenv("AZURE_API_KEY", "azure-key")
    from tests.recorder import chat_reply

    with respx.mock() as mock:
        route = mock.post("https://my-endpoint.openai.azure.com/openai/v1/chat/completions")
        route.respond(json=chat_reply())
        adapter.completion(model="azure-gpt4", messages=MESSAGES)
        adapter.completion(
            model="azure-gpt4",
            messages=MESSAGES,
            base_url="https://my-endpoint.openai.azure.com/openai/deployments",
        )

    assert route.call_count == 2
    request = route.calls.last.request
    assert request.headers["authorization"] == "Bearer azure-key"
    assert b'"model":"gpt-4"' in request.content.replace(b": ", b":")


def test_translate_is_usable_with_litellm_itself(write: Write, server: Recorder) -> None:
    import litellm

    write(
        f'[[providers]]\nname = "p"\nbase_url = "{server.base_url}"\ndefault_model = "a/b"\n'
        'api_key = "own-key"\n'
    )

    litellm.completion(**adapter.translate("p"), messages=MESSAGES)

    assert server.only.body["model"] == "a/b"
    assert server.only.key == "own-key"
