"""``[plugin.litellm.providers.NAME]``: what settings do to a request, or that they do nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import adapter
from tests.command import provider, run
from tests.recorder import ANSWER, Recorder, recording_server, write_certificate

Write = Callable[..., Path]
HI = [{"role": "user", "content": "hi"}]


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tls") / "certificate.pem"
    write_certificate(path)
    return path


@pytest.fixture
def https(certificate: Path) -> Iterator[Recorder]:
    with recording_server(certificate=certificate) as recorder:
        yield recorder


def table(server: Recorder, *settings: str) -> str:
    return "\n".join([provider(server.base_url), "[plugin.litellm.providers.p]", *settings])


@pytest.mark.parametrize("client", ["openai", "hosted_vllm"])
@pytest.mark.parametrize("setting", ["false", "the file"])
def test_ssl_verify(
    setting: str, client: str, https: Recorder, certificate: Path, write: Write
) -> None:
    """Whose certificate it is that nobody trusts otherwise."""
    value = "false" if setting == "false" else f'"{certificate}"'
    settings = table(https, f'custom_llm_provider = "{client}"', f"ssl_verify = {value}")
    write(f"{settings}\n{provider(https.base_url, 'q')}")

    assert run("-m", "q/m", "hi").code == 6
    assert run("-m", "p/m", "hi") == (0, f"{ANSWER}\n", "")
    assert run("-m", "p/m", "--no-stream", "hi").code == 0
    assert run("models", "p").out == "p/m\n"
    asyncio.run(adapter.acompletion("p/m", HI))

    assert len(https.requests) == 4
    assert not any("ssl_verify" in str(r.body) for r in https.requests if r.method == "POST")


def test_a_file_for_ssl_verify_that_is_not_there(https: Recorder, write: Write) -> None:
    write(table(https, 'ssl_verify = "/none.pem"'))

    for command in (["-m", "p/m", "hi"], ["models", "p"], ["providers", "test", "p"]):
        done = run(*command)
        assert "ssl_verify names /none.pem, which cannot be used: No such file" in (
            done.out + done.err
        )
        assert done.code in (1, 2)
    with pytest.raises(adapter.AdapterError, match=r"ssl_verify names /none\.pem"):
        adapter.completion("p/m", HI)


@pytest.mark.parametrize("stream", ["--stream", "--no-stream"])
def test_extra_query_goes_into_the_query_string(
    stream: str, server: Recorder, write: Write
) -> None:
    write(table(server, 'extra_query = { api-version = "preview", n = 1 }'))

    assert run("-m", "p/m", stream, "hi") == (0, f"{ANSWER}\n", "")
    adapter.completion("p/m", HI, extra_query={"x": "y"}, extra_body={"top_k": 1})

    first, second = server.requests
    assert first.path == "/v1/chat/completions?api-version=preview&n=1"
    assert second.path == "/v1/chat/completions?x=y"
    assert second.body["top_k"] == 1
    assert not any("extra_query" in request.body for request in server.requests)


def test_stream_says_that_it_has_no_effect(server: Recorder, write: Write) -> None:
    path = write(table(server, "stream = true"))

    assert adapter.completion("p/m", HI).choices[0].message.content == ANSWER
    code, out, err = run("-m", "p/m", "--no-stream", "hi")

    assert (code, out) == (0, f"{ANSWER}\n")
    name = "plugin.litellm.providers.p.stream"
    assert f"{path}:6: provider 'p': {name} must be left out: it has no effect\n" in err
    assert not any(request.body.get("stream") for request in server.requests)


@pytest.mark.parametrize("model", ["o3-mini", "gpt-4o", "m"])
@pytest.mark.parametrize("role", ["system", "developer"])
@pytest.mark.parametrize("is_async", [False, True])
def test_roles_are_the_callers(
    role: str, model: str, is_async: bool, server: Recorder, write: Write
) -> None:
    """LiteLLM sends ``system`` as ``user`` to o3-mini, ``developer`` as ``system`` to others."""
    write(provider(server.base_url))
    messages = [{"role": role, "content": "Be brief."}, *HI]

    if is_async:
        asyncio.run(adapter.acompletion(f"p/{model}", messages, extra_body={"top_k": 1}))
    else:
        adapter.completion(f"p/{model}", messages, extra_body={"top_k": 1})

    body = server.only.body
    assert [m["role"] for m in body["messages"]] == [role, "user"]
    assert body.keys() - {"top_k"} == {"model", "messages"}
