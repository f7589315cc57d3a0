"""Every program of docs/guide.md, run as a reader would paste it, one after the other.

What it prints is what the page shows, and the two servers say what arrived.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from adapter import installed, load_config, translate
from adapter.keys.precedence import PLACEHOLDER_KEY
from tests.conftest import ROOT
from tests.pages import table
from tests.recorder import (
    RESPONSE,
    Recorder,
    Reply,
    Request,
    chat_chunk,
    chat_reply,
    recording_server,
    text_reply,
)
from tests.snippets import Block, blocks_of, printed

PAGE = blocks_of(ROOT / "docs" / "guide.md")
CONFIGURATION, BESIDE, MODELS, TEAM = (block.text for block in PAGE if block.language == "toml")
GROQ, OLLAMA = "https://api.groq.com/openai/v1", "http://localhost:11434/v1"
RERANKER = "http://localhost:8001/v1"

CHAT = "/v1/chat/completions"
KEY = "gsk_test"
PNG, WAV = b"\x89PNG picture", b"RIFF question"


class Program(NamedTuple):
    """A python block: its heading, numbered where there are several, and the output shown."""

    name: str
    text: str
    output: str


def programs() -> Iterator[Program]:
    counts: dict[str, int] = {}
    for block, follows in zip(PAGE, [*PAGE[1:], Block("", "")], strict=True):
        if block.language == "python":
            number = counts[block.heading] = counts.get(block.heading, 0) + 1
            name = block.heading if number == 1 else f"{block.heading} {number}"
            yield Program(name, block.text, follows.text if follows.language == "text" else "")


PROGRAMS = list(programs())


class Servers(NamedTuple):
    """The two providers. ``statuses`` are those with which groq answers next."""

    groq: Recorder
    ollama: Recorder
    statuses: list[int]


Check = Callable[[Servers], None]
CHECKS: dict[str, Check] = {}
"""Program -> what must have arrived when it has run."""
STATUSES = {
    "Timeouts and retries": [503],
    "Fallbacks": [429],
    "Router": [200, 429],
    "Errors": [429],
}
"""Program -> the statuses with which groq answers first; after them it is well."""


def expect(name: str) -> Callable[[Check], Check]:
    def keep(check: Check) -> Check:
        CHECKS[name] = check
        return check

    return keep


# What the models say, by question.
HELLO = "Say hello."
THINKING = "I need both temperatures."
ANSWERS = {
    "Explain quantum computing in one sentence.": "A quantum computer works on superpositions of "
    "many states at once.",
    "The capital of France, in one word?": "Paris",
    "The capital of Japan, in one word?": "Tokyo",
    "The capital of Peru, in one word?": "Lima",
    "Which is the largest city of Peru?": '{"name": "Lima", "inhabitants": 10092000}',
    "The primes below ten.": '{"primes": [2, 3, 5, 7]}',
    "What is in this picture?": "A lighthouse on a rock.",
    "2 + 2?": "4",
    "3 + 3?": "6",
    HELLO: "Hello.",
}
STREAMS = {
    "Write a haiku about rain.": [
        "Rain on the tin roof,\n",
        "the gutter learns an old song,\n",
        "the cat keeps the beat.",
    ],
    "Count to three.": ["one ", "two ", "three\n"],
    HELLO: ["Hello."],
}
VECTORS = {"boat": [0.5, 0.5, 0.5], "ship": [1.0, 0.25, 0.25], "cake": [0.0, 0.25, 0.25]}
CITIES = {"Oslo": 4, "Lima": 19}


def call(city: str) -> dict[str, Any]:
    arguments = json.dumps({"city": city})
    function = {"name": "temperature", "arguments": arguments}
    return {"id": f"call_{city}", "type": "function", "function": function}


def question_of(request: Request) -> str:
    content = request.body["messages"][-1]["content"]
    return content if isinstance(content, str) else str(content[0]["text"])


def usage(completion: int) -> dict[str, int]:
    return {"prompt_tokens": 9, "completion_tokens": completion, "total_tokens": 9 + completion}


def stream(request: Request, words: list[str]) -> bytes:
    events = [chat_chunk({"role": "assistant", "content": word}) for word in words]
    last = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    end = [chat_chunk({}, "stop")]
    if request.body.get("stream_options") == {"include_usage": True}:
        told = {**last, "choices": [], "usage": usage(len(words))}
        end.append(f"data: {json.dumps(told)}\n\n".encode())
    return b"".join([*events, *end, b"data: [DONE]\n\n"])


def chat(request: Request) -> Reply:
    last = request.body["messages"][-1]
    if last["role"] == "tool":
        return Reply(200, chat_reply("Lima is warmer: 19 degrees against 4."))
    if request.body.get("tools"):
        calls = [{**call(city), "index": index} for index, city in enumerate(CITIES)]
        more: dict[str, Any] = {
            "annotations": [],
            "refusal": None,
            "reasoning_content": THINKING,
            "own": 1,
        }
        return Reply(200, chat_reply(None, tool_calls=calls, **more))
    question = question_of(request)
    if request.body.get("stream"):
        return Reply(200, stream(request, STREAMS[question]))
    return Reply(200, {**chat_reply(ANSWERS[question]), "usage": usage(15)})


def answer(request: Request) -> Reply | None:
    if request.path == CHAT:
        return chat(request)
    if request.path == "/v1/embeddings":
        rows = [
            {"object": "embedding", "index": i, "embedding": VECTORS[word]}
            for i, word in enumerate(request.body["input"])
        ]
        told = {"prompt_tokens": 3, "total_tokens": 3}
        return Reply(200, {"object": "list", "model": "m", "data": rows, "usage": told})
    if request.path == "/v1/completions":
        return Reply(200, text_reply("there was a king."))
    if request.path == "/v1/responses":
        said = json.dumps(RESPONSE).replace("Hello, world", "Hello.")
        return Reply(200, json.loads(said))
    if request.path == "/v1/audio/transcriptions":
        return Reply(200, {"text": "What is two and two?"})
    return None  # the recorder's own answer


@pytest.fixture
def servers(config_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Servers]:
    """Both providers of the page, and the files that its programs read."""
    monkeypatch.setenv("GROQ_API_KEY", KEY)
    Path("photo.png").write_bytes(PNG)
    Path("question.wav").write_bytes(WAV)
    Path("team.toml").write_text(TEAM, encoding="utf-8")
    with recording_server() as groq, recording_server() as ollama:
        text = CONFIGURATION.replace(GROQ, groq.base_url).replace(OLLAMA, ollama.base_url)
        assert GROQ not in text
        assert OLLAMA not in text
        (config_dir / "gptme.toml").write_text(text, encoding="utf-8")
        statuses: list[int] = []

        def at_groq(request: Request) -> Reply | None:
            status = statuses.pop(0) if statuses else 200
            return (
                answer(request) if status == 200 else Reply(status, {"error": {"message": "busy"}})
            )

        def at_ollama(request: Request) -> Reply | None:
            if request.path == CHAT and request.body["model"] == "llama3.2":
                return Reply(200, chat_reply("Hello from this machine."))
            return answer(request)

        groq.script, ollama.script = at_groq, at_ollama
        yield Servers(groq, ollama, statuses)


def test_every_program_has_its_expectations() -> None:
    assert [program.name for program in PROGRAMS] == list(CHECKS)
    assert set(STATUSES) <= set(CHECKS)


def test_every_block_is_a_file_a_program_or_its_output() -> None:
    assert {block.language for block in PAGE} == {"toml", "python", "text"}
    texts = [block.text for block in PAGE if block.language == "text"]
    assert texts == [program.output for program in PROGRAMS if program.output]


@pytest.mark.parametrize("program", PROGRAMS, ids=[program.name for program in PROGRAMS])
def test_the_program_prints_what_is_shown(program: Program, servers: Servers) -> None:
    servers.statuses.extend(STATUSES.get(program.name, ()))

    with pytest.MonkeyPatch.context() as environ:
        environ.setenv("GROQ_API_KEY", KEY)  # put back when the program has changed it
        names: dict[str, Any] = {}
        out = printed(program.text, "docs/guide.md", names)
    if "installation" in names:
        names["installation"].undo()

    shown = out.replace(servers.groq.base_url, GROQ).replace(servers.ollama.base_url, OLLAMA)
    assert shown == program.output
    CHECKS[program.name](servers)
    if program.name != "Keys at call time":
        assert {request.key for request in servers.groq.requests} <= {KEY}
    assert {request.key for request in servers.ollama.requests} <= {PLACEHOLDER_KEY}


def test_settings_beside_the_provider_go_with_its_calls(
    config_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GROQ_API_KEY", KEY)
    (config_dir / "gptme.toml").write_text(CONFIGURATION + BESIDE, encoding="utf-8")

    assert not load_config().warnings
    params = translate("groq")
    assert (params["timeout"], params["max_retries"]) == (20, 3)


def sent(server: Recorder) -> list[tuple[str, str]]:
    """Return path and model of each request, in an order of their own: threads have none."""
    return sorted((request.path, str(request.body["model"])) for request in server.requests)


DEFAULT = "openai/gpt-oss-120b"


@expect("First call")
def first_call(servers: Servers) -> None:
    assert sent(servers.groq) == [(CHAT, DEFAULT)]
    assert servers.ollama.requests == []


@expect("Streaming")
def streaming(servers: Servers) -> None:
    assert sent(servers.groq) == [(CHAT, DEFAULT)]
    assert servers.groq.only.body["stream"] is True


@expect("Async")
def at_the_same_time(servers: Servers) -> None:
    assert sent(servers.groq) == [(CHAT, DEFAULT)] * 4
    assert [r.body.get("stream", False) for r in servers.groq.requests] == [False] * 3 + [True]


@expect("Tools")
def tools(servers: Servers) -> None:
    first, second = servers.groq.requests
    assert sent(servers.groq) == [(CHAT, DEFAULT)] * 2
    assert first.body["tools"] == second.body["tools"]
    asked, oslo, lima = second.body["messages"][1:]
    assert second.body["messages"][:1] == first.body["messages"]
    assert asked == {"role": "assistant", "tool_calls": [call(city) for city in CITIES]}
    for city, told in zip(CITIES, (oslo, lima), strict=True):
        assert (told["role"], told["tool_call_id"]) == ("tool", f"call_{city}")
        assert json.loads(told["content"]) == {"city": city, "celsius": CITIES[city]}


def test_the_loop_of_tools_with_thinking(servers: Servers) -> None:
    """As the page says it for DeepSeek."""
    (program,) = (p for p in PROGRAMS if p.name == "Tools")
    role = '    "role": True,\n'
    assert role in program.text
    text = program.text.replace(role, f'{role}    "reasoning_content": True,\n')
    assert printed(text, "docs/guide.md") == program.output
    asked = servers.groq.last.body["messages"][1]
    assert asked.keys() == {"role", "tool_calls", "reasoning_content"}
    assert asked["reasoning_content"] == THINKING


@expect("Structured output")
def a_pydantic_model(servers: Servers) -> None:
    asked = servers.groq.only.body["response_format"]
    assert asked["type"] == "json_schema"
    assert asked["json_schema"]["strict"] is True
    assert asked["json_schema"]["schema"]["properties"].keys() == {"name", "inhabitants"}


@expect("Structured output 2")
def a_json_schema(servers: Servers) -> None:
    asked = servers.groq.only.body["response_format"]["json_schema"]
    assert (asked["name"], asked["strict"]) == ("primes", True)
    assert asked["schema"]["required"] == ["primes"]


@expect("Images")
def images(servers: Servers) -> None:
    assert sent(servers.ollama) == [(CHAT, "qwen2.5vl")]
    url = servers.ollama.only.body["messages"][0]["content"][1]["image_url"]["url"]
    assert url == f"data:image/png;base64,{base64.b64encode(PNG).decode()}"


@expect("Embeddings")
def embeddings(servers: Servers) -> None:
    assert sent(servers.ollama) == [("/v1/embeddings", "nomic-embed-text")]
    assert servers.groq.requests == []


@expect("Other functions")
def other_functions(servers: Servers) -> None:
    assert sent(servers.ollama) == [("/v1/completions", "llama3.2")]
    assert sent(servers.groq) == [(CHAT, DEFAULT)] * 2 + [("/v1/responses", DEFAULT)]


@expect("Other functions 2")
def speech_and_back(servers: Servers) -> None:
    heard, said = servers.groq.requests
    assert heard.path == "/v1/audio/transcriptions"
    assert WAV in heard.raw
    assert b"\r\n\r\nwhisper-large-v3-turbo\r\n" in heard.raw
    assert said.path == "/v1/audio/speech"
    assert said.body["model"] == "canopylabs/orpheus-v1-english"
    assert Path("answer.wav").read_bytes() == b"sound"


@expect("Timeouts and retries")
def retries(servers: Servers) -> None:
    assert sent(servers.groq) == [(CHAT, DEFAULT)] * 2
    assert servers.groq.last.headers["x-stainless-retry-count"] == "1"


@expect("Fallbacks")
def fallbacks(servers: Servers) -> None:
    assert sent(servers.groq) == [(CHAT, DEFAULT)]
    assert sent(servers.ollama) == [(CHAT, "llama3.2")]


@expect("Router")
def a_router(servers: Servers) -> None:
    assert sent(servers.groq) == [(CHAT, DEFAULT), (CHAT, "openai/gpt-oss-20b")]
    assert sent(servers.ollama) == [(CHAT, "llama3.2")]


@expect("Router 2")
def a_router_with_a_list(servers: Servers) -> None:
    assert servers.groq.requests == servers.ollama.requests == []


@expect("Errors")
def errors(servers: Servers) -> None:
    assert sent(servers.groq) == [(CHAT, DEFAULT)]


@expect("Keys at call time")
def keys(servers: Servers) -> None:
    assert [request.key for request in servers.groq.requests] == ["gsk_new", "gsk_other"]


@expect("For other tools")
def other_tools(servers: Servers) -> None:
    assert sent(servers.groq) == [(CHAT, "openai/gpt-oss-20b")]


@expect("For other tools 2")
def the_sdk(servers: Servers) -> None:
    assert sent(servers.groq) == [(CHAT, DEFAULT)]


@expect("LiteLLM's other functions")
def other_litellm_functions(servers: Servers) -> None:
    assert sent(servers.groq) == [(CHAT, DEFAULT)] * 2
    assert not installed()


ONE = [(CHAT, DEFAULT)]
ROWS: dict[str, tuple[list[tuple[str, str]], Callable[[Any], Any], Any]] = {
    "completion": (ONE, lambda r: r.choices[0].message.content, "Hello."),
    "completion_with_retries": (ONE, lambda r: r.choices[0].message.content, "Hello."),
    "batch_completion": (ONE, lambda r: r[0].choices[0].message.content, "Hello."),
    "batch_completion_models": (ONE, lambda r: r.choices[0].message.content[:5], "Hello"),
    "Router": (ONE, lambda r: r.choices[0].message.content, "Hello."),
    "stream_chunk_builder": ([], lambda r: r.choices[0].message.content, "Hello."),
    "completion_cost": ([], lambda r: round(r * 1e6, 6), 9 * 0.15 + 15 * 0.60),
    "token_counter": ([], lambda r: r > 5, True),
    "encode": ([], lambda r: len(r) > 1, True),
    "trim_messages": ([], lambda r: r[0]["content"], HELLO),
    "get_model_info": ([], lambda r: r, 131072),
    "supports_function_calling": ([], lambda r: r, True),
    "get_supported_openai_params": ([], lambda r: "temperature" in r, True),
    "validate_environment": ([], lambda r: r.source, "$GROQ_API_KEY"),
    "rerank": ([("/v1/rerank", "bge-m3")], lambda r: r.results[0]["index"], 1),
    "image_edit": ([("/v1/images/edits", "")], lambda r: r.data[0].url, "http://picture"),
    "image_variation": ([("/v1/images/variations", "")], lambda r: r.data[0].url, "http://picture"),
    "create_file": ([("/v1/files", "")], lambda r: r.id, "file-1"),
    "file_content": ([("/v1/files/file-1/content", "")], lambda r: r, b"{}"),
    "create_batch": ([("/v1/batches", "")], lambda r: r.id, "batch-1"),
    "retrieve_batch": ([("/v1/batches/batch-1", "")], lambda r: r.status, "completed"),
    "": (ONE, lambda r: (r.answered, r.failed), (1, 0)),
}
"""LiteLLM's function -> the requests of the page's call, and what is in its result."""

FILE = {"id": "file-1", "object": "file", "bytes": 2, "created_at": 1, "filename": "in.jsonl"}
BATCH = {
    "id": "batch-1",
    "object": "batch",
    "endpoint": CHAT,
    "input_file_id": "file-1",
    "completion_window": "24h",
    "status": "completed",
    "created_at": 1,
}
OTHER_ANSWERS: dict[str, Any] = {
    "/v1/rerank": {"id": "r", "results": [{"index": 1, "relevance_score": 0.9}]},
    "/v1/images/edits": {"created": 1, "data": [{"url": "http://picture"}]},
    "/v1/images/variations": {"created": 1, "data": [{"url": "http://picture"}]},
    "/v1/files": {**FILE, "purpose": "batch", "status": "processed"},
    "/v1/files/file-1/content": b"{}",
    "/v1/batches": BATCH,
    "/v1/batches/batch-1": BATCH,
}


def row_name(cell: str) -> str:
    """Return the first name in code of a cell, "" where there is none of LiteLLM's."""
    return cell.split("`")[1] if cell.startswith("`") else ""


def test_every_row_of_litellms_functions_works(servers: Servers, config_dir: Path) -> None:
    path = config_dir / "gptme.toml"
    models = MODELS.replace(RERANKER, servers.groq.base_url)
    path.write_text(path.read_text(encoding="utf-8") + models, encoding="utf-8")
    line: dict[str, Any] = {"custom_id": "a", "method": "POST", "url": CHAT}
    line["body"] = {"model": "groq", "messages": [{"role": "user", "content": HELLO}]}
    Path("requests.jsonl").write_text(json.dumps(line) + "\n", encoding="utf-8")
    (program,) = (p for p in PROGRAMS if p.name == "LiteLLM's other functions")
    rows = {row_name(cell): call for cell, call in table("guide.md", "| LiteLLM's function")}
    assert rows.keys() == ROWS.keys()
    chat_answer = servers.groq.script
    assert chat_answer is not None

    def answer_others(request: Request) -> Reply | None:
        other = OTHER_ANSWERS.get(request.path)
        return chat_answer(request) if other is None else Reply(200, other)

    servers.groq.script = answer_others
    names: dict[str, Any] = {}
    printed(program.text, "docs/guide.md", names)
    try:
        for name, (requests, look, expected) in ROWS.items():
            servers.groq.requests.clear()
            servers.ollama.requests.clear()
            result = eval(rows[name].strip("`"), names)
            assert look(result) == expected, name
            if name != "batch_completion_models":  # whose second model may not have been asked
                assert arrived(servers.groq) == requests, name
            keys = {request.key for request in servers.groq.requests}
            assert keys <= {PLACEHOLDER_KEY if name == "rerank" else KEY}, name
    finally:
        names["installation"].undo()


def arrived(server: Recorder) -> list[tuple[str, str]]:
    """Return path and model of each request; no model where the body is not JSON or has none."""
    return [
        (r.path, str(r.body.get("model", "")) if r.raw.startswith(b"{") else "")
        for r in server.requests
    ]


@expect("One configuration for several programs")
def one_configuration(servers: Servers) -> None:
    assert servers.groq.requests == servers.ollama.requests == []
