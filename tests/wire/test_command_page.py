"""docs/command.md: each command is run, and prints what the page shows."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.command import provider, run
from tests.conftest import ROOT
from tests.recorder import Recorder, Reply, Request, chat_reply, chat_stream
from tests.snippets import blocks_of

PAGE = blocks_of(ROOT / "docs" / "command.md")
SHOWN = [
    (line, output)
    for block in PAGE
    if block.language == "console"
    for line, _, output in (
        part.partition("\n") for part in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]
    )
]

ANSWERS = {
    "The capital of Peru, in one word?": "Lima",
    "The capital of Austria": "Wien",
    "What does this print?": "It prints hi.",
    "What is in this picture?": "A lighthouse on a rock.",
    "Print hi in Python": 'So it is:\n\n```python\nprint("hi")\n```\n',
    "The largest city of Peru": '{"name": "Lima", "inhabitants": 10092000}',
    "Say hello": "Hello.",
}
USAGE = {"prompt_tokens": 20, "completion_tokens": 4, "total_tokens": 24}


def answer(request: Request) -> Reply | None:
    """Answer the prompt that the request ends with."""
    content = request.body["messages"][-1]["content"]
    text = content if isinstance(content, str) else " ".join(p.get("text", "") for p in content)
    words = next(answer for prompt, answer in ANSWERS.items() if prompt in text)
    if not request.body.get("stream"):
        return Reply(200, {**chat_reply(words), "usage": USAGE})
    usage = b'data: {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", '
    usage += b'"choices": [], "usage": {"prompt_tokens": 20, "completion_tokens": 4, '
    usage += b'"total_tokens": 24}}\n\ndata: [DONE]\n\n'
    return Reply(200, chat_stream([words]).replace(b"data: [DONE]\n\n", usage))


@pytest.mark.parametrize(("line", "output"), SHOWN, ids=lambda text: str(text)[:60])
def test_a_command_prints_what_is_shown(
    line: str,
    output: str,
    server: Recorder,
    other_server: Recorder,
    write: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server.script = other_server.script = answer
    if "--fallback" in line:
        server.script = lambda _: Reply(500, {}, {"Retry-After": "0"})
    monkeypatch.setenv("GROQ_API_KEY", "gsk_test")
    groq = provider(
        server.base_url, "groq", api_key_env="GROQ_API_KEY", default_model="openai/gpt-oss-120b"
    )
    write(groq + provider(other_server.base_url, "ollama", default_model="llama3.2"))
    Path("main.py").write_text("print('hi')\n", encoding="utf-8")
    Path("photo.png").write_bytes(b"\x89PNG\r\n\x1a\n picture")
    given, _, command = line.rpartition(" | ")
    stdin = Path(given.removeprefix("cat ")).read_bytes() if given else b""

    outcome = run(*shlex.split(command)[1:], stdin=stdin)

    assert outcome.code == 0, outcome.err
    assert outcome.out + (outcome.err if " -u " in line else "") == output
    assert all(request.key != "gsk_test" for request in other_server.requests)
    if given:
        content = server.only.body["messages"][-1]["content"]
        assert content.startswith(shlex.split(command)[-1])
        assert content.strip().endswith(stdin.decode().strip())
