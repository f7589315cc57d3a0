"""``adapter "PROMPT"``: what the options put into the request, and what the answer becomes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from adapter.cli.answer import RESERVED
from tests.command import provider, read_terminal, run, started, terminal
from tests.recorder import ANSWER, Recorder, Reply, Request, chat_chunk, chat_reply, chat_stream

Write = Callable[..., Path]

KEY = "sk-the-providers-own-key"
STREAMED = pytest.mark.parametrize("stream", ["--stream", "--no-stream"])


@pytest.fixture(autouse=True)
def configured(write: Write, server: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    """One provider, ``p``, at the recording server."""
    write(provider(server.base_url, api_key_env="P_KEY", default_model="default/m"))
    monkeypatch.setenv("P_KEY", KEY)


def messages(server: Recorder) -> list[dict[str, str]]:
    found: list[dict[str, str]] = server.only.body["messages"]
    return found


def answering(*words: str, **message: Any) -> Callable[[Request], Reply]:
    """Answer with ``words``, streamed or whole as the request asks."""

    def script(request: Request) -> Reply:
        if request.body.get("stream"):
            return Reply(body=chat_stream(list(words)))
        return Reply(body=chat_reply("".join(words), **message))

    return script


# The model


@pytest.mark.parametrize(
    ("args", "model"),
    [
        (["-m", "p"], "default/m"),
        (["--model", "p"], "default/m"),
        (["--model=p/m"], "m"),
        (["-mp/m"], "m"),
        (["-m", "p/org/a b:7b@x"], "org/a b:7b@x"),
        (["-m", "p/openai/gpt-oss"], "openai/gpt-oss"),
        ([], "default/m"),
        (["query", "-m", "p/m"], "m"),
    ],
    ids=" ".join,
)
def test_the_model_goes_to_its_provider_with_its_key(
    args: list[str], model: str, server: Recorder
) -> None:
    assert run(*args, "hi") == (0, f"{ANSWER}\n", "")
    assert server.only.path == "/v1/chat/completions"
    assert server.only.body["model"] == model
    assert server.only.key == KEY


def test_the_model_comes_from_the_variable_and_the_option_wins(
    server: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ADAPTER_MODEL", "p/from-variable")

    run("hi")
    run("-m", "p/from-option", "hi")

    assert [r.body["model"] for r in server.requests] == ["from-variable", "from-option"]


def test_what_only_litellm_knows_is_litellms(
    server: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GROQ_API_KEY", "litellms-own-key")
    monkeypatch.setenv("GROQ_API_BASE", server.base_url)

    code, out, err = run("-v", "-m", "groq/some-model", "hi")

    assert (code, out) == (0, f"{ANSWER}\n")
    assert server.only.body["model"] == "some-model"
    assert server.only.key == "litellms-own-key"
    assert err.startswith("adapter: groq/some-model goes to LiteLLM as it is\n")


# The prompt


@pytest.mark.parametrize(
    ("args", "prompt"),
    [
        (["Explain quantum computing"], "Explain quantum computing"),
        (["Explain", "quantum", "computing"], "Explain quantum computing"),
        (["Explain", "-s", "Be brief", "quantum", "computing"], "Explain quantum computing"),
        (["providers", "of", "what?"], "providers of what?"),
        (["--", "--help", "-x"], "--help -x"),
        (["  two\n lines "], "  two\n lines "),
        (["naïve 🔌"], "naïve 🔌"),
        (["not UTF-8: \udcff"], "not UTF-8: \ufffd"),
    ],
    ids=repr,
)
def test_the_words_are_the_prompt_quoted_or_not(
    args: list[str], prompt: str, server: Recorder
) -> None:
    assert run("-m", "p", *args).code == 0
    assert messages(server)[-1] == {"role": "user", "content": prompt}


@pytest.mark.parametrize(
    ("args", "piped", "prompt"),
    [
        ([], b"print(1)\n", "print(1)\n"),
        (["Explain", "this"], b"print(1)\n", "Explain this\n\nprint(1)\n"),
        (["Explain this"], b"", "Explain this"),
        (["Explain this"], b" \n", "Explain this"),
        ([" "], b"print(1)", "print(1)"),
        (["read"], "  naïve\r\n\t🔌".encode(), "read\n\n  naïve\r\n\t🔌"),
        (["read"], "\ufeffnaïve".encode(), "read\n\nnaïve"),
        (["read"], b"x" * 1_000_000, "read\n\n" + "x" * 1_000_000),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_what_is_piped_in_follows_the_prompt(
    args: list[str], piped: bytes, prompt: str, server: Recorder
) -> None:
    assert run("-m", "p", *args, stdin=piped).code == 0
    assert messages(server) == [{"role": "user", "content": prompt}]


@pytest.mark.parametrize(
    ("piped", "fix"),
    [
        ("naïve".encode("utf-16"), "is it UTF-16? Then pipe it through: iconv -f UTF-16 -t UTF-8"),
        ("hi".encode("utf-16-le"), "is it UTF-16LE? Then pipe it through: iconv -f UTF-16LE -t"),
        ("naïve".encode("latin-1"), "is it LATIN1? Then pipe it through: iconv -f LATIN1 -t UTF-8"),
        (b"\x89PNG\r\n\x1a\n\0\0", ""),
    ],
    ids=repr,
)
def test_what_is_piped_in_must_be_utf8(piped: bytes, fix: str, server: Recorder) -> None:
    code, out, err = run("-m", "p", "read", stdin=piped)

    assert (code, out) == (2, "")
    words = "stdin is not UTF-8 text; use -a - to attach an image or a PDF file\n"
    assert err.startswith(f"Error: {words}  {fix}" if fix else f"Error: {words}")
    Path("piped.txt").write_bytes(piped)
    assert run("-m", "p", "-a", "piped.txt", "read").code == (0 if b"PNG" in piped else 2)
    assert len(server.requests) == (1 if b"PNG" in piped else 0)


@pytest.mark.parametrize("model", ["m", "o3-mini", "o1", "gpt-4o"])
def test_the_system_message_keeps_its_role(model: str, server: Recorder) -> None:
    """LiteLLM sends it as the user's to o3-mini."""
    assert run("-m", f"p/{model}", "-s", "Be brief.", "hi").code == 0
    assert [m["role"] for m in messages(server)] == ["system", "user"]
    assert "roles" not in str(server.only.body)


@pytest.mark.parametrize("flag", ["-s", "--system"])
def test_the_system_message_comes_first(flag: str, server: Recorder) -> None:
    run("-m", "p", flag, "Be brief.", "hi")

    assert messages(server) == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "hi"},
    ]


# Options of the request


@pytest.mark.parametrize(
    ("key", "value", "sent"),
    [
        ("temperature", "0", 0),
        ("temperature", "0.5", 0.5),
        ("max_tokens", "7", 7),
        ("seed", "12345678901234567890", 12345678901234567890),
        ("stop", '["a", "b"]', ["a", "b"]),
        ("stop", "END", "END"),
        ("stop", '"5"', "5"),
        ("logit_bias", '{"50256": -100}', {"50256": -100}),
        ("parallel_tool_calls", "false", False),
        ("response_format", '{"type": "json_object"}', {"type": "json_object"}),
        ("guided_regex", "NaN", "NaN"),
        ("guided_regex", "[not JSON", "[not JSON"),
        ("guided_regex", "a b", "a b"),
        ("top_k", "5", 5),
        ("reasoning_effort", "low", "low"),
    ],
)
def test_an_option_reaches_the_request_as_json_where_it_is_json(
    key: str, value: str, sent: object, server: Recorder
) -> None:
    assert run("-m", "p", "-o", key, value, "hi").code == 0

    found = server.only.body[key]
    assert found == sent
    assert type(found) is type(sent)


def test_options_add_up_and_null_means_not_given(server: Recorder) -> None:
    options = {"temperature": "0", "extra_body": '{"x": {"y": [1, null, true]}}', "seed": "null"}
    run("-m", "p", *(word for pair in options.items() for word in ("--option", *pair)), "hi")

    assert server.only.body["temperature"] == 0
    assert server.only.body["x"] == {"y": [1, None, True]}
    assert "seed" not in server.only.body


@pytest.mark.parametrize("key", ["model", "messages", "stream", "timeout", "api_key"])
def test_an_option_that_the_command_has_itself_is_refused(key: str, server: Recorder) -> None:
    code, out, err = run("-m", "p", "-o", key, "5", "hi")

    assert (code, out) == (2, "")
    assert f"Error: -o {key} cannot be used: {RESERVED[key]}\n" in err
    assert server.requests == []


@pytest.mark.parametrize(
    ("args", "stream"), [([], True), (["--stream"], True), (["--no-stream"], False)]
)
def test_the_answer_is_streamed_unless_it_must_not_be(
    args: list[str], stream: bool, server: Recorder
) -> None:
    assert run("-m", "p", *args, "hi").out == f"{ANSWER}\n"
    assert server.only.body.get("stream", False) is stream


@pytest.mark.parametrize(
    ("args", "extras", "seconds"),
    [
        ([], "", "600.0"),
        (["--timeout", "7.5"], "", "7.5"),
        ([], "timeout = 30", "30"),
        (["--timeout", "7"], "timeout = 30", "7.0"),
    ],
)
def test_the_time_limit_is_the_options_then_the_providers_then_ten_minutes(
    args: list[str], extras: str, seconds: str, write: Write, server: Recorder
) -> None:
    """OpenAI's SDK tells the server how long it will wait."""
    write(provider(server.base_url) + f"[plugin.litellm.providers.p]\n{extras}\n")
    run("-m", "p/m", *args, "hi")

    assert float(server.only.headers["x-stainless-read-timeout"]) == float(seconds)


@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
def test_config_is_the_only_file_that_is_read(
    before: bool, tmp_path: Path, server: Recorder, other_server: Recorder
) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(provider(other_server.base_url, api_key="key-of-mine"), encoding="utf-8")
    file.chmod(0o600)
    config, query = ["--config", str(file)], ["-m", "p/m", "hi"]

    assert run(*(config + query if before else query + config)) == (0, f"{ANSWER}\n", "")
    assert server.requests == []
    assert other_server.only.key == "key-of-mine"


@pytest.mark.parametrize("flag", ["-v", "--verbose"])
@STREAMED
def test_verbose_says_on_stderr_where_it_goes_and_never_the_key(
    flag: str, stream: str, server: Recorder
) -> None:
    code, out, err = run(flag, "-m", "p/org/m", stream, "hi")

    assert (code, out) == (0, f"{ANSWER}\n")
    first, last = err.splitlines()
    assert first == f"adapter: provider p, model org/m, base_url {server.base_url}, key $P_KEY"
    assert last.startswith("adapter: done in ")
    assert KEY not in err


# The answer


@pytest.mark.parametrize("newlines", [0, 1, 3])
@STREAMED
def test_the_answer_ends_in_exactly_one_newline(
    newlines: int, stream: str, server: Recorder
) -> None:
    server.script = answering("\none\n", "\n", "two" + "\n" * newlines)

    assert run("-m", "p", stream, "hi") == (0, "\none\n\ntwo\n", "")


@pytest.mark.parametrize("words", [[], [""], ["\n"]], ids=repr)
@STREAMED
def test_an_answer_that_holds_nothing_is_a_failure(
    words: list[str], stream: str, server: Recorder
) -> None:
    server.script = answering(*words)

    code, out, err = run("-m", "p", stream, "hi")

    assert (code, out) == (7, "")
    assert err == f"Error: provider 'p' ({server.base_url}): the reply held no answer\n"


def test_chunks_without_text_are_passed_over(server: Recorder) -> None:
    """Usage comes in a chunk without choices, the role in one without text."""
    usage = json.loads(chat_chunk({})[6:]) | {"choices": [], "usage": chat_reply()["usage"]}
    body = chat_chunk({"role": "assistant"}) + chat_chunk({"content": "yes"})
    body += chat_chunk({}, "stop") + b"data: " + json.dumps(usage).encode() + b"\n\n"
    server.script = lambda request: Reply(body=body + b": comment\n\ndata: [DONE]\n\n")

    assert run("-m", "p", "-o", "stream_options", '{"include_usage": true}', "hi") == (
        0,
        "yes\n",
        "",
    )


CALLS = [("look_up", '{"city": "Zürich"}'), ("now", "{}")]
PRINTED = (
    r'{"name": "look_up", "arguments": "{\"city\": \"Zürich\"}"}'
    "\n"
    r'{"name": "now", "arguments": "{}"}'
    "\n"
)


def calling(text: str) -> Callable[[Request], Reply]:
    """Answer with ``text`` and ``CALLS``; streamed, the arguments come in pieces and mixed."""

    def call(index: int, name: str | None, arguments: str, whole: bool = False) -> dict[str, Any]:
        made: dict[str, Any] = {"function": {"arguments": arguments}}
        if name:
            made |= {"id": f"call-{index}", "type": "function"}
            made["function"]["name"] = name
        return made if whole else {"index": index, **made}

    def script(request: Request) -> Reply:
        (first, said), (second, nothing) = CALLS
        if not request.body.get("stream"):
            whole = [call(i, *c, whole=True) for i, c in enumerate(CALLS)]
            return Reply(body=chat_reply(text or None, tool_calls=whole))
        parts = [
            call(1, second, ""),
            call(0, first, said[:4]),
            call(1, None, nothing),
            call(0, None, said[4:]),
        ]
        events = [chat_chunk({"role": "assistant", "content": text or None})]
        events += [chat_chunk({"tool_calls": [part]}) for part in parts]
        end = [chat_chunk({}, "tool_calls"), b"data: [DONE]\n\n"]
        return Reply(body=b"".join(events + end))

    return script


@pytest.mark.parametrize("text", ["", "Let me look.", "Let me look.\n"])
@STREAMED
def test_tool_calls_are_printed_as_json_one_a_line(
    text: str, stream: str, server: Recorder
) -> None:
    server.script = calling(text)
    tools = [{"type": "function", "function": {"name": name}} for name, _ in CALLS]

    code, out, err = run("-m", "p", stream, "-o", "tools", json.dumps(tools), "hi")

    assert (code, err) == (0, "")
    assert out == (text.rstrip("\n") + "\n" if text else "") + PRINTED
    assert server.only.body["tools"] == tools


@STREAMED
def test_control_characters_of_an_answer_reach_a_pipe_but_no_terminal(
    stream: str, server: Recorder
) -> None:
    server.script = answering("\x1b[31mred", "\x1b]0;title\x07\ttab\n", "\x9bend")

    piped = run("-m", "p", stream, "hi")
    with terminal() as (user, program):
        with os.fdopen(os.dup(program), "w", encoding="utf-8") as stdout:
            shown = run("-m", "p", stream, "hi", stdout=stdout)
        seen = read_terminal(user, program)

    assert piped == (0, "\x1b[31mred\x1b]0;title\x07\ttab\n\x9bend\n", "")
    assert (shown.code, shown.err) == (0, "")
    assert seen == b"[31mred]0;title\ttab\r\nend\r\n"


# The surroundings


def test_the_files_of_a_hostile_working_directory_change_nothing(
    write: Write, server: Recorder, other_server: Recorder
) -> None:
    """A cloned repository must not redirect a key.

    python-dotenv, which LiteLLM calls, looks for ``.env`` beside the program or, where that has no
    file, as with ``python -c``, in the working directory.
    """
    write(provider(server.base_url, "groq", default_model="m"))
    evil = other_server.base_url
    table = provider(evil, "groq", api_key="evil-key", default_model="evil")
    for name in ("gptme.toml", "config.toml", "config.local.toml"):
        Path(name).write_text(table, encoding="utf-8")
    Path(".env").write_text(
        f"OPENAI_BASE_URL={evil}\nOPENAI_API_BASE={evil}\nGROQ_API_BASE={evil}\n"
        "GROQ_API_KEY=evil-key\nGPTME_GROQ_API_KEY=evil-key\nADAPTER_CONFIG=gptme.toml\n"
        "HTTP_PROXY=http://127.0.0.1:9\nNO_PROXY=\nOPENAI_ORG_ID=evil-org\n",
        encoding="utf-8",
    )

    program = "from adapter.cli.main import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", program, "-m", "groq", "hi"],
        input=b"",
        capture_output=True,
        check=False,
    )

    assert (done.returncode, done.stdout, done.stderr) == (0, f"{ANSWER}\n".encode(), b"")
    assert other_server.requests == []
    assert server.only.key == "default-key"
    assert server.only.body["model"] == "m"
    assert "evil" not in str(server.only.headers)


def test_litellm_says_nothing_of_its_own(server: Recorder) -> None:
    """A process, since LiteLLM's logs go to the stderr that was there when it was imported."""
    server.fail(400, "wrong")
    with started("-m", "p", "hi") as process:
        out, err = process.communicate()

    assert (process.returncode, out) == (1, b"")
    assert err.decode() == (
        f"Error: provider 'p' ({server.base_url}, key $P_KEY) answered 400: wrong\n"
    )


# A stderr that takes nothing


def _closed() -> int | None:
    return None


def _left() -> int:
    reading, writing = os.pipe()
    os.close(reading)
    return writing


def _full() -> int:
    return os.open("/dev/full", os.O_WRONLY)


@pytest.mark.parametrize("stderr", [_closed, _left, _full])
@pytest.mark.parametrize(("status", "code", "said"), [(200, 0, f"{ANSWER}\n"), (500, 7, "")])
def test_a_stderr_that_takes_nothing_changes_no_answer_and_no_exit_code(
    stderr: Callable[[], int | None], status: int, code: int, said: str, server: Recorder
) -> None:
    server.script = lambda request: Reply(status, chat_reply(ANSWER, reasoning_content="hm"))
    descriptor = stderr()
    closing = {} if descriptor else {"preexec_fn": lambda: os.close(2)}

    with started("-v", "--no-stream", "-m", "p", "hi", stderr=descriptor, **closing) as process:
        out, _ = process.communicate()

    if descriptor:
        os.close(descriptor)
    assert (process.returncode, out.decode()) == (code, said)
