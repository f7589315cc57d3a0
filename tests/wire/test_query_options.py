"""Attachments, schemas, JSON, code, usage, fallbacks, retries and Markdown, at the wire."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapter.query.extraction import first_block
from adapter.query.schemas import violation
from tests.command import at_a_terminal, provider, read_terminal, run, terminal
from tests.recorder import Recorder, Reply, Request, chat_chunk, chat_reply, chat_stream

PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 8
PDF = b"%PDF-1.7\n..."


@pytest.fixture(autouse=True)
def configured(write: Callable[..., Path], server: Recorder, other_server: Recorder) -> None:
    write(
        provider(server.base_url, default_model="m")
        + provider(other_server.base_url, name="q", default_model="n")
        + provider("http://127.0.0.1:1/v1", name="dead", default_model="d")
    )


def answers(server: Recorder, text: str) -> None:
    server.script = lambda r: Reply(
        200, chat_stream([text]) if r.body.get("stream") else chat_reply(text)
    )


def content(server: Recorder) -> Any:
    return server.last.body["messages"][-1]["content"]


# ---- attachments


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (PNG, "image/png"),
        (b"\xff\xd8\xff\xe0rest", "image/jpeg"),
        (b"GIF89a...", "image/gif"),
        (b"RIFF\x10\0\0\0WEBPVP8 ", "image/webp"),
    ],
)
def test_an_image(server: Recorder, data: bytes, kind: str) -> None:
    Path("picture.of.any.name").write_bytes(data)
    assert run("-m", "p", "-a", "picture.of.any.name", "What is it?").code == 0
    url = f"data:{kind};base64,{base64.b64encode(data).decode()}"
    assert content(server) == [
        {"type": "text", "text": "What is it?"},
        {"type": "image_url", "image_url": {"url": url}},
    ]


def test_a_pdf_a_text_and_a_url(server: Recorder) -> None:
    Path("paper.pdf").write_bytes(PDF)
    Path("notes.txt").write_text("é notes", encoding="utf-8-sig")
    url = "https://example.org/x.png"
    assert run("-m", "p", "-a", "paper.pdf", "-a", "notes.txt", "--attach", url, "hi").code == 0
    _, pdf, text, image = content(server)
    assert pdf["file"]["filename"] == "paper.pdf"
    assert base64.b64decode(pdf["file"]["file_data"].partition("base64,")[2]) == PDF
    assert text == {"type": "text", "text": "notes.txt:\n\né notes"}
    assert image["image_url"]["url"] == url
    assert len(server.requests) == 1


def test_stdin_is_attached(server: Recorder) -> None:
    assert run("-m", "p", "-a", "-", "hi", stdin=PNG).code == 0
    assert content(server)[1]["image_url"]["url"].startswith("data:image/png;base64,")
    assert run("-m", "p", "-a", "-", stdin=PNG).code == 0
    assert [part["type"] for part in content(server)] == ["image_url"]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda p: None, "No such file or directory"),
        (os.mkdir, "not a regular file"),
        (os.mkfifo, "not a regular file"),
        (lambda p: p.write_bytes(b""), "it is empty"),
        (lambda p: p.write_bytes(b"\x7fELF\0\1"), "neither of the kinds that are known"),
        (lambda p: p.write_bytes(b"x" * (20 * 1024 * 1024 + 1)), "larger than 20,971,520 bytes"),
    ],
)
def test_what_cannot_be_attached(server: Recorder, make: Callable[[Path], Any], words: str) -> None:
    make(Path("thing"))
    done = run("-m", "p", "-a", "thing", "hi")
    assert (done.code, done.out) == (2, "")
    assert words in done.err
    assert not server.requests


def test_a_name_that_no_request_can_carry(server: Recorder) -> None:
    name = os.fsdecode(b"n\xff\x1b[2J.txt")
    Path(name).write_text("x")
    assert run("-m", "p", "-a", name, "hi").code == 0
    assert content(server)[1]["text"] == "n\\udcff\\x1b[2J.txt:\n\nx"


def test_stdin_is_attached_once(server: Recorder) -> None:
    done = run("-m", "p", "-a", "-", "-a", "-", "hi", stdin=PNG)
    assert (done.code, done.err) == (2, "Error: --attach -: stdin can be attached only once\n")
    assert not server.requests


def test_there_may_be_no_stdin(server: Recorder) -> None:
    command = f'exec "{sys.executable}" -m adapter -m p -a - hi <&-'
    done = subprocess.run(["sh", "-c", command], check=False, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "Error: --attach -: there is no stdin\n"
    assert not server.requests


def test_what_is_attached_is_on_no_stream(server: Recorder) -> None:
    Path("n.txt").write_text("canary")
    server.fail(500, "no")
    done = run("-m", "p", "-v", "-a", "n.txt", "hi")
    assert done.code == 7
    assert "canary" in str(content(server))
    assert "canary" not in done.out + done.err


# ---- schema

SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}


@pytest.mark.parametrize("inline", [True, False])
def test_a_schema_is_asked_for_and_holds(server: Recorder, inline: bool) -> None:
    Path("s.json").write_text(json.dumps(SCHEMA))
    answers(server, '{"n": 3}')
    done = run("-m", "p", "--schema", json.dumps(SCHEMA) if inline else "s.json", "hi")
    assert done == (0, '{"n": 3}\n', "")
    wanted = {"type": "json_schema", "json_schema": {"name": "answer", "schema": SCHEMA}}
    assert server.only.body["response_format"] == wanted


def test_a_schema_in_short_and_several_of_them(server: Recorder) -> None:
    answers(server, '{"name": "Ada", "age": 36}')
    assert run("-m", "p", "--schema", "name str, age int", "hi").code == 0
    sent = server.only.body["response_format"]["json_schema"]
    assert sent["strict"] is True
    assert sent["schema"]["properties"] == {"name": {"type": "string"}, "age": {"type": "integer"}}
    assert run("-m", "p", "--schema-multi", "name str, age int", "hi").code == 7
    answers(server, '{"items": [{"name": "Ada", "age": 36}]}')
    assert run("-m", "p", "--schema-multi", "name str, age int", "hi").code == 0
    assert run("-m", "p", "--schema", "a", "--schema-multi", "a", "hi").code == 2


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ('{"n": "x"}', "$.n: 'x' is not of type 'integer'"),
        ("{}", "$: 'n' is a required property"),
        ("not JSON", "the answer is not JSON"),
    ],
)
def test_an_answer_that_does_not_hold_it(server: Recorder, answer: str, words: str) -> None:
    answers(server, answer)
    done = run("-m", "p", "--schema", json.dumps(SCHEMA), "hi")
    assert (done.code, done.out) == (7, f"{answer}\n")
    assert words in done.err
    assert violation(SCHEMA, answer)


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ("no.json", "No such file"),
        ("{", "not valid JSON"),
        ('{"type": 3}', "not a JSON schema"),
        ("[]", "No such file"),
        ('{"$ref": "#/$defs/none"}', "#/$defs/none is not in the schema"),
    ],
)
def test_a_schema_that_is_none(server: Recorder, schema: str, words: str) -> None:
    done = run("-m", "p", "--schema", schema, "hi")
    assert done.code == 2
    assert words in done.err
    assert not server.requests


def test_a_closed_schema_is_sent_as_strict(server: Recorder) -> None:
    answers(server, '{"n": 3}')
    schema = json.dumps({**SCHEMA, "additionalProperties": False})
    assert run("-m", "p", "--schema", schema, "hi").code == 0
    assert server.only.body["response_format"]["json_schema"]["strict"] is True


# ---- json, extract, usage


def test_the_whole_response(server: Recorder) -> None:
    done = run("-m", "p", "--json", "hi")
    assert done.code == 0
    response = json.loads(done.out)
    assert response["choices"][0]["message"]["content"] == "Hello, world"
    assert response["usage"]["total_tokens"] == 2
    assert not server.only.body.get("stream")


@pytest.mark.parametrize("gateway", [True, False])
def test_a_response_without_text_is_still_one(server: Recorder, gateway: bool) -> None:
    reply = chat_reply("")
    reply["choices"][0].update(message={"role": "assistant", "content": None})
    reply["choices"][0].update(finish_reason="length")
    server.script = lambda r: Reply(200, reply)
    way = ["--gateway", server.base_url] if gateway else []
    done = run("-m", "p", *way, "--json", "hi")
    assert (done.code, done.err) == (0, "")
    assert json.loads(done.out)["choices"][0]["finish_reason"] == "length"
    assert run("-m", "p", *way, "--no-stream", "hi").code == 7


def test_json_holds_nothing_that_drives_a_terminal(server: Recorder) -> None:
    text = "a\x9b2J\x1b[2J\x7f é \ud800"
    server.script = lambda r: Reply(200, chat_reply(text))
    done = run("-m", "p", "--gateway", server.base_url, "--json", "hi")
    assert "é" in done.out
    assert not {"\x9b", "\x1b", "\x7f"} & set(done.out)
    assert json.loads(done.out)["choices"][0]["message"]["content"] == text


@pytest.mark.parametrize("size", [1, 2, 5, 99])
def test_code_is_the_same_however_it_arrives(server: Recorder, size: int) -> None:
    text = "Here:\n````md\n```\nx\n```\n````\nend"
    cut = [text[start : start + size] for start in range(0, len(text), size)]
    server.script = lambda r: Reply(200, chat_stream(cut))
    assert run("-m", "p", "-x", "hi") == (0, "```\nx\n```\n", "")


def test_only_the_code(server: Recorder) -> None:
    answers(server, "Here:\n```python\nprint(1)\n\nprint(2)\n```\nand\n```\nmore\n```\n")
    assert run("-m", "p", "-x", "hi") == (0, "print(1)\n\nprint(2)\n", "")
    answers(server, "no code")
    done = run("-m", "p", "--extract", "hi")
    assert (done.code, done.out) == (0, "no code\n")
    assert "no code block" in done.err


LINES = st.lists(st.sampled_from(["```", "````", "~~~", "```py", "a", "", "  ```", "x ``` y"]))


@given(LINES)
def test_code_is_lines_of_the_answer_and_no_closing_fence(lines: list[str]) -> None:
    found = first_block("\n".join(lines))
    fences = [line for line in lines if line.strip()[:3] in ("```", "~~~")]
    assert (found is None) is not any(fences)
    if found:
        assert all(line in lines for line in found.split("\n"))


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("~~~\n```\n~~~", "```"),
        ("````md\n```\nx\n```\n````", "```\nx\n```"),
        ("```\nopen", "open"),
        ("```\r\ncrlf\r\n```", "crlf\r"),
        ("    ```\nindented\n    ```", None),
        ("```a`b\nx\n", None),
        ("```\n```", ""),
    ],
)
def test_fences_of_commonmark(text: str, code: str | None) -> None:
    assert first_block(text) == code


def test_usage_goes_to_stderr(server: Recorder) -> None:
    end = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": []}
    usage = {**end, "usage": {"prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 12}}
    last = b"data: " + json.dumps(usage).encode() + b"\n\ndata: [DONE]\n\n"
    server.script = lambda r: Reply(
        200, chat_chunk({"content": "Hi"}) + chat_chunk({}, "stop") + last
    )
    done = run("-m", "p", "-u", "hi")
    assert done == (0, "Hi\n", "adapter: 5 tokens in, 7 out\n")
    assert server.only.body["stream_options"] == {"include_usage": True}


def test_usage_at_once(server: Recorder) -> None:
    assert run("-m", "p", "-u", "--no-stream", "hi").err == "adapter: 1 tokens in, 1 out\n"


@pytest.mark.parametrize(
    "usage", ["x", [1], {"prompt_tokens": "\x1b[2J", "completion_tokens": True}]
)
def test_usage_that_is_none(server: Recorder, usage: Any) -> None:
    server.script = lambda r: Reply(200, {**chat_reply("Hi"), "usage": usage})
    done = run("-m", "p", "-u", "--no-stream", "hi")
    assert (done.code, done.out) == (7, "")
    assert "\x1b" not in done.err
    assert len(done.err.splitlines()) <= 2


@pytest.mark.parametrize("flags", [[], ["--no-stream"], ["-x"]])
def test_several_choices_are_for_json(server: Recorder, flags: list[str]) -> None:
    done = run("-m", "p", "-o", "n", "2", *flags, "hi")
    assert (done.code, done.out) == (2, "")
    assert "-o n: one answer is printed; --json prints all of them" in done.err
    assert not server.requests
    assert run("-m", "p", "-o", "n", "2", "--json", "hi").code == 0
    assert run("-m", "p", "-o", "n", "1", "hi").code == 0


# ---- thinking


THOUGHT = [
    chat_chunk({"role": "assistant", "reasoning_content": "First\x1b[31m "}),
    chat_chunk({"content": "<think>then</think>\n\nHello"}),
    chat_chunk({}, "stop"),
    b"data: [DONE]\n\n",
]


@pytest.mark.parametrize("flags", [[], ["-x"]])
def test_thinking_is_shown_dimmed_on_a_terminal(server: Recorder, flags: list[str]) -> None:
    server.script = lambda r: Reply(200, b"".join(THOUGHT))
    code, shown = at_a_terminal("-v", "-m", "p", *flags, "hi", environ={"TERM": "xterm"})
    assert code == 0
    thinking = "\x1b[2mFirst[31m \x1b[22m\x1b[2mthen\x1b[22m\r\n"
    assert thinking in shown
    assert "Hello\r\n" in shown.partition(thinking)[2]
    code, shown = at_a_terminal("-v", "-m", "p", *flags, "hi", environ={"TERM": "dumb"})
    assert "\r\nFirst[31m then\r\n" in shown
    code, shown = at_a_terminal("-m", "p", *flags, "hi", environ={"TERM": "dumb"})
    assert "First" not in shown
    done = run("-v", "-m", "p", *flags, "hi")
    assert "First" not in done.out + done.err


def test_other_stream_options_are_kept(server: Recorder) -> None:
    assert run("-m", "p", "-u", "-o", "stream_options", '{"x": 1}', "hi").code == 0
    assert server.only.body["stream_options"] == {"x": 1, "include_usage": True}


@pytest.mark.parametrize(
    "pair",
    [
        ("--json", "--extract"),
        ("--extract", "--render"),
        ("--json", "--render"),
        ("--schema", "--extract"),
        ("--schema", "--render"),
    ],
)
def test_what_excludes_each_other(server: Recorder, pair: tuple[str, str]) -> None:
    first = [pair[0], "{}"] if pair[0] == "--schema" else [pair[0]]
    done = run("-m", "p", *first, pair[1], "hi")
    assert done.code == 2
    assert f"{pair[0]} and {pair[1]} cannot be used together" in done.err
    assert not server.requests


# ---- fallbacks and retries


def test_a_fallback_answers(server: Recorder, other_server: Recorder) -> None:
    server.fail(503, "busy")
    done = run("-m", "p", "--fallback", "dead", "--fallback", "q", "hi")
    assert (done.code, done.out) == (0, "Hello, world\n")
    assert "answered 503: busy; trying the next model" in done.err
    assert "the connection was refused; trying the next model" in done.err
    assert done.err.endswith("adapter: q answered\n")
    assert other_server.only.body["model"] == "n"


def test_no_fallback_is_needed(server: Recorder, other_server: Recorder) -> None:
    assert run("-m", "p", "--fallback", "q", "hi") == (0, "Hello, world\n", "")
    assert not other_server.requests


def test_no_fallback_after_the_first_token(server: Recorder, other_server: Recorder) -> None:
    server.script = lambda r: Reply(200, chat_chunk({"content": "Hel"}), cut=True)
    done = run("-m", "p", "--fallback", "q", "hi")
    assert (done.code, done.out) == (7, "Hel\n")
    assert "the answer above is not complete" in done.err
    assert not other_server.requests


def test_a_model_that_cannot_be_asked_falls_back(other_server: Recorder) -> None:
    done = run("-m", "p/", "--fallback", "q", "hi")
    assert (done.code, done.out) == (0, "Hello, world\n")
    assert run("-m", "dead", "--fallback", "p/", "hi").code == 2


@pytest.mark.parametrize(("option", "requests"), [([], 1), (["--retries", "2"], 3)])
def test_retries(server: Recorder, option: list[str], requests: int) -> None:
    server.fail(500, "no", **{"Retry-After": "0.01"})
    assert run("-m", "p", *option, "hi").code == 7
    assert len(server.requests) == requests


@pytest.mark.parametrize("name", ["max_retries", "num_retries"])
@pytest.mark.parametrize("asked", [0, 1])
def test_retries_asked_for_beat_configured_ones(
    write: Callable[..., Path], server: Recorder, name: str, asked: int
) -> None:
    settings = f"[plugin.litellm.providers.p]\n{name} = 2\n"
    write(provider(server.base_url, default_model="m") + settings)
    server.fail(500, "no", **{"Retry-After": "0.01"})
    assert run("-m", "p", "--retries", str(asked), "hi").code == 7
    assert len(server.requests) == asked + 1


# ---- Markdown


def test_markdown_on_a_terminal(server: Recorder) -> None:
    answers(server, "# Title\n\nSome **bold** text\x1b[2J\n\n- one\n- two\n\n```py\nx = 1\n```\n")
    size = {"TERM": "xterm-256color", "COLUMNS": "60"}
    code, shown = at_a_terminal("-m", "p", "--render", "hi", environ=size)
    assert code == 0
    assert "**" not in shown
    assert "\x1b[1mbold\x1b[0m" in shown
    assert " • " in shown
    assert "\x1b[2J" not in shown
    assert shown.index("Title") < shown.index("bold") < shown.index("one")


def test_markdown_into_a_pipe_stays_as_it_is(server: Recorder) -> None:
    answers(server, "# Title\n")
    assert run("-m", "p", "--render", "hi").out == "# Title\n"


def test_without_rich_there_is_one_message(
    server: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "rich.console", None)  # what an import then fails with
    with terminal() as (user, program):
        with os.fdopen(os.dup(program), "w", encoding="utf-8") as screen:
            done = run("-m", "p", "--render", "hi", stdout=screen)
        assert read_terminal(user, program) == b""
    assert done.code == 2
    assert done.err == ('Error: --render needs rich. Run: pip install "gptme-litellm[render]"\n')
    assert not server.requests


def test_no_option_no_import(server: Recorder) -> None:
    heavy = ("rich.markdown", "adapter.query.schemas")  # LiteLLM imports jsonschema
    code = (
        "import sys; from adapter.cli.main import run; "
        "code = run(['-m', 'p', '-x', '-a', 'n.txt', 'hi']); "
        f"sys.exit(code or any(m in sys.modules for m in {heavy!r}))"
    )
    Path("n.txt").write_text("n")
    done = subprocess.run(
        [sys.executable, "-c", code], check=False, capture_output=True, stdin=subprocess.DEVNULL
    )
    assert (done.returncode, done.stdout) == (0, b"Hello, world\n")


def test_through_a_proxy_too(server: Recorder) -> None:
    answers(server, '{"n": 1}')
    done = run(
        "-m", "any", "--gateway", server.base_url, "--json", "--schema", json.dumps(SCHEMA), "hi"
    )
    assert json.loads(done.out)["choices"][0]["message"]["content"] == '{"n": 1}'
    assert run("-m", "any", "--gateway", server.base_url, "-u", "--no-stream", "hi").err == (
        "adapter: 1 tokens in, 1 out\n"
    )
    failing: list[Request] = []

    def twice(request: Request) -> Reply | None:
        failing.append(request)
        return Reply(503, {}, {"Retry-After": "0.01"}) if len(failing) < 3 else None

    server.script = twice
    assert run("-m", "any", "--gateway", server.base_url, "--retries", "2", "hi").code == 0
    assert len(failing) == 3
