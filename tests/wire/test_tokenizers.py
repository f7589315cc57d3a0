"""LiteLLM's tokenizers, which it would fetch from huggingface.co to count tokens."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.command import provider
from tests.recorder import ANSWER, Recorder, Reply


def test_no_tokenizer_is_fetched_to_count_the_tokens_of_a_stream(
    write: Callable[..., Path],
    server: Recorder,
    other_server: Recorder,
    adapter: Callable[..., subprocess.CompletedProcess[str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write(provider(server.base_url))
    other_server.script = lambda request: Reply(404, {})  # in place of huggingface.co
    monkeypatch.setenv("HF_ENDPOINT", other_server.origin)
    done = adapter("-m", "p/llama-3.1-8b-instant", "hi")

    assert (done.returncode, done.stdout) == (0, f"{ANSWER}\n"), done.stderr
    assert other_server.requests == []
