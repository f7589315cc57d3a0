"""Where the time of one `adapter.completion` goes: our own steps by themselves, and a profile."""

from __future__ import annotations

import cProfile
import pstats
import time
from collections.abc import Callable
from typing import Any

from benchmarks import measuring
from benchmarks.calls import sync_calls

__all__ = ["own_steps", "profile"]


def own_steps(quick: bool) -> dict[str, float]:
    """Return the seconds of each step of ours, called by itself many times."""
    from adapter import load_config, resolve, translate
    from adapter.upstream.clients import bind_client

    config = load_config()
    provider, params = config.provider("one"), translate("one")
    parts: dict[str, Callable[[], Any]] = {
        "load_config: has a file changed?": load_config,
        "resolve: what the model string means": lambda: resolve("one", config),
        "key": provider.resolve_key,
        "translate, of a configuration in hand": lambda: translate("one", config),
        "translate: all of these": lambda: translate("one"),
        "the client to send with": lambda: bind_client(dict(params), "completion", False),
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


def profile(base_url: str, quick: bool) -> dict[str, float]:
    """Return each package's share of one adapter.completion, by cProfile's own time."""
    call = sync_calls(base_url, stream=False)["adapter.completion"]
    profiler = cProfile.Profile()
    profiler.enable()
    for _ in range(10 if quick else 200):
        call()
    profiler.disable()
    shares: dict[str, float] = {label: 0.0 for label, _ in PACKAGES}
    shares["Python's own: builtins and standard library"] = 0.0
    for (file, _, name), (_, _, own, _, _) in pstats.Stats(profiler).stats.items():  # type: ignore[attr-defined]  # its table
        found = (label for label, words in PACKAGES if any(w in f"{file} {name}" for w in words))
        shares[next(found, "Python's own: builtins and standard library")] += own
    whole = sum(shares.values())
    return {label: own / whole for label, own in shares.items()}
