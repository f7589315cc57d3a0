"""LiteLLM's tokenizers, which it would fetch from huggingface.co to count tokens."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.command import provider
from tests.recorder import ANSWER, Recorder


@contextmanager
def huggingface() -> Iterator[tuple[str, list[str]]]:
    """Stand in for huggingface.co: yield its address, and the paths it is asked for."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            asked.append(self.path)
            self.send_error(404)

        do_GET = do_HEAD  # noqa: N815 - the name that http.server calls

        def log_message(self, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}).start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}", asked
        finally:
            server.shutdown()


def test_no_tokenizer_is_fetched_to_count_the_tokens_of_a_stream(
    write: Callable[..., Path],
    server: Recorder,
    adapter: Callable[..., subprocess.CompletedProcess[str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write(provider(server.base_url))
    with huggingface() as (address, asked):
        monkeypatch.setenv("HF_ENDPOINT", address)
        done = adapter("-m", "p/llama-3.1-8b-instant", "hi")

    assert (done.returncode, done.stdout) == (0, f"{ANSWER}\n"), done.stderr
    assert asked == []
