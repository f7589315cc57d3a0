"""One call in a warm process: adapter, LiteLLM, the OpenAI SDK, httpx; and where the time goes.

All in one process, against a server in another. In each round every case makes a block of calls,
in random order. Wall time is that of the block; CPU time is the whole process's until LiteLLM's
logging threads are done. `litellm.completion, again` is the same call as the base: how far its
ratio is from 1 is what this benchmark cannot see. A streamed chunk is the difference between an
answer of 101 chunks and one of a single chunk, by a hundred.
"""

from __future__ import annotations

import asyncio
import cProfile
import json
import os
import pstats
import random
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from benchmarks import measuring
from benchmarks.measuring import Results
from benchmarks.server import ANSWER, Server, serving

__all__ = ["BASE", "CHUNKS", "measure"]

BASE = "litellm.completion"
AGAIN = "litellm.completion, again"
CHUNKS = 101
BLOCK = 5
SETTLE_SECONDS = 0.003

MESSAGES: list[Any] = [{"role": "user", "content": "q"}]

PROVIDER = """\
[[providers]]
name = "{name}"
base_url = "{base_url}"
api_key_env = "BENCH_KEY"
default_model = "m"
"""
VLLM = '[plugin.litellm.providers.{name}]\ncustom_llm_provider = "hosted_vllm"\n'

Call = Callable[[], str]
AsyncCall = Callable[[], Awaitable[str]]


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


def _write_configuration(path: Path, bases: Mapping[str, str]) -> None:
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


def async_calls(base_url: str, stream: bool) -> dict[str, AsyncCall]:
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

    return {
        "adapter.completion": lambda: text(adapter.acompletion("one", **more)),
        BASE: lambda: text(litellm.acompletion(**plain, **more)),
        AGAIN: lambda: text(litellm.acompletion(**plain, **more)),
        "adapter.completion, hosted_vllm": lambda: text(adapter.acompletion("one-vllm", **more)),
        "OpenAI SDK": lambda: text(client.chat.completions.create(model="m", **more)),
        "httpx": raw,
    }


def _text(line: str) -> str:
    if not line.startswith("data: {"):
        return ""
    return str(json.loads(line[6:])["choices"][0]["delta"].get("content") or "")


def _check(text: str) -> None:
    if not text.startswith(ANSWER):
        raise SystemExit(f"a call was not answered: {text!r}")


def _block(call: Call, size: int) -> dict[str, float]:
    cpu, wall = time.process_time(), time.perf_counter()
    for _ in range(size):
        _check(call())
    wall = time.perf_counter() - wall
    time.sleep(SETTLE_SECONDS)
    return {"wall": wall / size, "cpu": (time.process_time() - cpu) / size}


async def _async_blocks(calls: Mapping[str, AsyncCall], number: int) -> measuring.Measured:
    """As `measuring.rounds`, within one event loop."""
    order = random.Random(0)
    taken: measuring.Measured = {label: {"wall": [], "cpu": []} for label in calls}
    for count in range(number + 1):
        for label in order.sample(list(calls), len(calls)):
            cpu, wall = time.process_time(), time.perf_counter()
            for _ in range(BLOCK):
                _check(await calls[label]())
            wall = time.perf_counter() - wall
            await asyncio.sleep(SETTLE_SECONDS)
            if count:
                taken[label]["wall"].append(wall / BLOCK)
                taken[label]["cpu"].append((time.process_time() - cpu) / BLOCK)
    return taken


def _rows(taken: measuring.Measured) -> Results:
    return {
        label: {
            what: {**measuring.summary(values), **measuring.ratio(values, taken[BASE][what])}
            for what, values in found.items()
        }
        for label, found in taken.items()
    }


def _whole(server: Server, quick: bool) -> Results:
    number = 8 if quick else 250
    base_url = server.base_url()
    found = {}
    for stream in (False, True):
        how = "streamed" if stream else "whole"
        calls = sync_calls(base_url, stream)
        cases = {label: (lambda c=call: _block(c, BLOCK)) for label, call in calls.items()}
        found[f"sync, {how}"] = _rows(measuring.rounds(cases, number, f"per_call, sync {how}"))
        measuring.progress(f"per_call, async {how}")
        found[f"async, {how}"] = _rows(
            asyncio.run(_async_blocks(async_calls(base_url, stream), number))
        )
    return found


def _per_chunk(server: Server, quick: bool) -> Results:
    """Return what a chunk takes: an answer of 101 chunks less one of a single chunk, by 100."""
    few = sync_calls(server.base_url(), stream=True)
    many = sync_calls(server.base_url(chunks=CHUNKS), stream=True, provider="many")

    def case(label: str) -> dict[str, float]:
        short, long = _block(few[label], 1), _block(many[label], 1)
        return {what: (long[what] - short[what]) / (CHUNKS - 1) for what in long}

    cases = {label: (lambda x=label: case(x)) for label in few}
    return _rows(measuring.rounds(cases, 4 if quick else 40, "per_call, chunks"))


def _own_parts(quick: bool) -> dict[str, float]:
    """Return the seconds of each step of ours, called by itself many times."""
    from adapter import load_config, resolve, translate
    from adapter.engine import private_client

    config = load_config()
    provider, params = config.provider("one"), translate("one")
    parts: dict[str, Callable[[], Any]] = {
        "load_config: has a file changed?": load_config,
        "resolve: what the model string means": lambda: resolve("one", config),
        "key": provider.resolve_key,
        "translate: all three, and the parameters": lambda: translate("one"),
        "the OpenAI client without OpenAI's headers": lambda: private_client(params, False),
    }
    found = {}
    for label, part in parts.items():
        taken = []
        for _ in range(20 if quick else 200):
            started = time.perf_counter()
            for _ in range(50):
                part()
            taken.append((time.perf_counter() - started) / 50)
        found[label] = measuring.summary(taken)["median"]
    return found


PACKAGES = (
    (
        "LiteLLM: logging and prices",
        ("litellm_logging", "cost_calc", "logging_worker", "/caching/"),
    ),
    ("LiteLLM: the rest", ("/litellm/",)),
    ("OpenAI SDK", ("/openai/",)),
    ("httpx, httpcore, h11", ("/httpx/", "/httpcore/", "/h11/", "/anyio/")),
    ("pydantic", ("/pydantic", "pydantic_core")),
    ("adapter", ("/adapter/",)),
    (
        "sockets and waiting",
        ("'recv' of", "'send", "'poll' of", "method 'connect'", "'acquire' of"),
    ),
)
"""Where a function belongs: the first line of which a word is in its file and name."""


def _profile(base_url: str, quick: bool) -> dict[str, float]:
    """Return each package's share of one adapter.completion, by cProfile's own time."""
    call = sync_calls(base_url, stream=False)["adapter.completion"]
    profile = cProfile.Profile()
    profile.enable()
    for _ in range(10 if quick else 200):
        call()
    profile.disable()
    shares: dict[str, float] = {label: 0.0 for label, _ in PACKAGES}
    shares["Python's own: builtins and standard library"] = 0.0
    for (file, _, name), (_, _, own, _, _) in pstats.Stats(profile).stats.items():  # type: ignore[attr-defined]  # its table
        found = (label for label, words in PACKAGES if any(w in f"{file} {name}" for w in words))
        shares[next(found, "Python's own: builtins and standard library")] += own
    whole = sum(shares.values())
    return {label: own / whole for label, own in shares.items()}


def measure(quick: bool) -> Results:
    with tempfile.TemporaryDirectory() as folder, serving() as server:
        config = Path(folder, "config.toml")
        bases = {"one": server.base_url(), "many": server.base_url(chunks=CHUNKS)}
        _write_configuration(config, bases)
        # what the process itself reads; run.py gives every benchmark a process of its own
        os.environ.clear()
        os.environ.update(
            measuring.environment(Path(folder), ADAPTER_CONFIG=str(config), BENCH_KEY="sk-x")
        )
        import adapter

        adapter.completion("one", messages=MESSAGES)  # imports LiteLLM as adapter does
        return {
            "calls": _whole(server, quick),
            "chunks": _per_chunk(server, quick),
            "own": _own_parts(quick),
            "profile": _profile(server.base_url(), quick),
        }


if __name__ == "__main__":
    measuring.main(__doc__, measure)
