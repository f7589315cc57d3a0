"""The calls that are measured in a warm process: adapter's, LiteLLM's, the OpenAI SDK's, httpx's.

Each asks one question and returns the text of its answer.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

__all__ = [
    "AGAIN",
    "BASE",
    "MESSAGES",
    "AsyncCall",
    "Call",
    "async_calls",
    "closing_litellms",
    "sync_calls",
    "write_providers",
]

BASE = "litellm.completion"
AGAIN = "litellm.completion, again"

Call = Callable[[], str]
AsyncCall = Callable[[], Awaitable[str]]

MESSAGES: list[Any] = [{"role": "user", "content": "q"}]

PROVIDER = """\
[[providers]]
name = "{name}"
base_url = "{base_url}"
api_key_env = "BENCH_KEY"
default_model = "m"
"""
VLLM = '[plugin.litellm.providers.{name}]\ncustom_llm_provider = "hosted_vllm"\n'


def _quiet(call: Call) -> Call:
    """Return ``call`` with LiteLLM's logging of streamed chunks switched off meanwhile."""
    import litellm

    def quiet() -> str:
        litellm.disable_streaming_logging = True
        try:
            return call()
        finally:
            litellm.disable_streaming_logging = False

    return quiet


def write_providers(path: Path, bases: Mapping[str, str]) -> None:
    """Write two providers for each server: `NAME`, and `NAME-vllm`, which uses hosted_vllm."""
    names = [(name, base, PROVIDER) for name, base in bases.items()]
    names += [(f"{name}-vllm", base, PROVIDER + VLLM) for name, base in bases.items()]
    path.write_text("".join(t.format(name=n, base_url=b) for n, b, t in names))


def sync_calls(base_url: str, stream: bool, provider: str = "one") -> dict[str, Call]:
    import httpx
    import litellm
    import openai

    import adapter

    client = openai.OpenAI(base_url=base_url, api_key="sk-x")
    web = httpx.Client(headers={"Authorization": "Bearer sk-x"})
    plain: dict[str, Any] = {"model": "openai/m", "api_base": base_url, "api_key": "sk-x"}
    more: dict[str, Any] = {"messages": MESSAGES, "stream": stream}

    def text(reply: Any) -> str:
        if not stream:
            return str(reply.choices[0].message.content)
        return "".join([c.choices[0].delta.content or "" for c in reply if c.choices])

    def raw() -> str:
        body = {"model": "m", **more}
        if not stream:
            reply = web.post(f"{base_url}/chat/completions", json=body).json()
            return str(reply["choices"][0]["message"]["content"])
        with web.stream("POST", f"{base_url}/chat/completions", json=body) as answer:
            return "".join([_text(line) for line in answer.iter_lines()])

    calls: dict[str, Call] = {
        "adapter.completion": lambda: text(adapter.completion(provider, **more)),
        BASE: lambda: text(litellm.completion(**plain, **more)),
        AGAIN: lambda: text(litellm.completion(**plain, **more)),
        "adapter.completion, hosted_vllm": lambda: text(
            adapter.completion(f"{provider}-vllm", **more)
        ),
        "OpenAI SDK": lambda: text(client.chat.completions.create(model="m", **more)),
        "httpx": raw,
    }
    if stream:
        calls["adapter.completion, disable_streaming_logging"] = _quiet(calls["adapter.completion"])
    return calls


@asynccontextmanager
async def async_calls(base_url: str, stream: bool) -> AsyncIterator[dict[str, AsyncCall]]:
    """Yield the calls of one event loop, whose connections are closed at the end."""
    import httpx
    import litellm
    import openai

    import adapter

    client = openai.AsyncOpenAI(base_url=base_url, api_key="sk-x")
    web = httpx.AsyncClient(headers={"Authorization": "Bearer sk-x"})
    plain: dict[str, Any] = {"model": "openai/m", "api_base": base_url, "api_key": "sk-x"}
    more: dict[str, Any] = {"messages": MESSAGES, "stream": stream}

    async def text(made: Awaitable[Any]) -> str:
        reply = await made
        if not stream:
            return str(reply.choices[0].message.content)
        return "".join([c.choices[0].delta.content or "" async for c in reply if c.choices])

    async def raw() -> str:
        body = {"model": "m", **more}
        if not stream:
            reply = (await web.post(f"{base_url}/chat/completions", json=body)).json()
            return str(reply["choices"][0]["message"]["content"])
        async with web.stream("POST", f"{base_url}/chat/completions", json=body) as answer:
            return "".join([_text(line) async for line in answer.aiter_lines()])

    calls: dict[str, AsyncCall] = {
        "adapter.completion": lambda: text(adapter.acompletion("one", **more)),
        BASE: lambda: text(litellm.acompletion(**plain, **more)),
        AGAIN: lambda: text(litellm.acompletion(**plain, **more)),
        "adapter.completion, hosted_vllm": lambda: text(adapter.acompletion("one-vllm", **more)),
        "OpenAI SDK": lambda: text(client.chat.completions.create(model="m", **more)),
        "httpx": raw,
    }
    async with client, web, closing_litellms():
        yield calls


@asynccontextmanager
async def closing_litellms() -> AsyncIterator[None]:
    """Close, at the end, the clients that LiteLLM has made in this event loop.

    They would be closed by the garbage collector when the loop is gone, and complain of that.
    """
    import litellm

    try:
        yield
    finally:
        await litellm.close_litellm_async_clients()
        litellm.in_memory_llm_clients_cache.flush_cache()


def _text(line: str) -> str:
    if not line.startswith("data: {"):
        return ""
    return str(json.loads(line[6:])["choices"][0]["delta"].get("content") or "")
