"""Faults of servers, as data: how each is made, and what every caller sees of it.

The model id of a request says which fault it meets, so that one provider, and one gateway, serve
for all that happens after a connection is made. The test asserts what docs/reliability.md shows.
"""

from __future__ import annotations

import gzip
import json
import socket
import socketserver
import ssl
import struct
import threading
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from enum import Enum
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from tests.recorder import chat_chunk, chat_reply, write_certificate

PAUSE = 0.002
"""In seconds, between two packets, so that they arrive as two."""


class End(Enum):
    """How a connection ends, other than by being closed when all is said."""

    HOLD = "says nothing more until the client goes"
    RESET = "RFC 9293, 3.6: an end without ceremony"


Step = bytes | float | End
"""A packet, a pause in seconds, or an end."""

Steps = Callable[[], Iterable[Step]]


class Fault(NamedTuple):
    """A fault: ``steps`` make it, in one of ``modes``; the rest is what its callers see.

    ``error`` is LiteLLM's class, empty where there is none, with its ``status``. ``code`` is the
    command's exit code, ``says`` a part of its message, ``out`` the answer, or the part of it that
    came, for every caller. ``client`` is what another client of the gateway gets. ``retried`` says
    whether the OpenAI SDK tries again, ``limit`` is the time limit in seconds, ``provider`` where
    the request goes, ``note`` what LiteLLM hides or changes.
    """

    name: str
    steps: Steps
    modes: tuple[str, ...]
    error: str = ""
    status: int | None = None
    code: int = 0
    says: str = ""
    out: str = ""
    client: str = "200"
    retried: bool = False
    limit: float = 30
    provider: str = "p"
    note: str = ""

    @property
    def requests(self) -> int:
        """How many requests arrive when nothing is retried."""
        return int(self.provider in ("p", "small"))

    @property
    def bound(self) -> int:
        """In seconds, how long any call of the test may take, on a busy machine as well."""
        return 60 if "MB" in self.name else 20


# What is sent


def head(status: int, headers: Mapping[str, str]) -> bytes:
    lines = [f"{name}: {value}" for name, value in {**headers, "Connection": "close"}.items()]
    return "\r\n".join([f"HTTP/1.1 {status} Status", *lines, "", ""]).encode()


JSON = MappingProxyType({"Content-Type": "application/json"})
CHUNKED = MappingProxyType({"Transfer-Encoding": "chunked"})
OPEN = head(200, {"Content-Type": "text/event-stream", **CHUNKED})
CLOSE = b"0\r\n\r\n"


def reply(status: int, body: Any, headers: Mapping[str, str] = JSON) -> Steps:
    """Send a whole answer; a body that is no bytes is sent as JSON."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return lambda: [head(status, {"Content-Length": str(len(data)), **headers}) + data]


def chunk(data: bytes) -> bytes:
    """Return one chunk of a body in chunks (RFC 9112, 7.1)."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def stream(*events: bytes) -> Steps:
    """Send a whole event stream, each event in a packet of its own."""
    return lambda: [OPEN, *map(chunk, events), CLOSE]


def open_stream(*then: Step) -> Steps:
    """Begin a stream with two words, then do something else."""
    return lambda: [OPEN, *map(chunk, WORDS), *then]


def refusal(status: int, **headers: str) -> Steps:
    """Send an OpenAI error of that status."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    body = {"error": {"message": "no", "type": "t", "code": status}}
    return reply(status, body, {**JSON, **named})


def word(text: str) -> bytes:
    return chat_chunk({"role": "assistant", "content": text})


def in_utf8(event: bytes) -> bytes:
    """Return an event whose JSON is written without escapes."""
    data = json.loads(event.removeprefix(b"data: "))
    return b"data: " + json.dumps(data, ensure_ascii=False).encode() + b"\n\n"


def around(data: bytes, text: str) -> list[bytes]:
    """Cut ``data`` so that each byte of ``text`` comes alone."""
    before, found, after = data.partition(text.encode())
    return [before, *(found[i : i + 1] for i in range(len(found))), after]


def split_reply() -> Iterator[bytes]:
    body = json.dumps(chat_reply(TEXT), ensure_ascii=False).encode()
    yield head(200, {**JSON, "Content-Length": str(len(body))})
    yield from around(body, TEXT)


def split_stream() -> Iterator[bytes]:
    yield OPEN
    yield from map(chunk, around(in_utf8(word(TEXT)), TEXT))
    yield chunk(END) + CLOSE


def zipped_stream() -> Iterator[bytes]:
    yield head(200, {"Content-Type": "text/event-stream", "Content-Encoding": "gzip", **CHUNKED})
    data = gzip.compress(in_utf8(word(TEXT)) + END)
    yield from (chunk(data[i : i + 9]) for i in range(0, len(data), 9))
    yield CLOSE


def long_reply() -> Iterator[bytes]:
    before, after = json.dumps(chat_reply("@")).encode().split(b"@")
    size = len(before) + MEGABYTES * len(MEGABYTE) + len(after)
    yield head(200, {**JSON, "Content-Length": str(size)}) + before
    for _ in range(MEGABYTES):
        yield MEGABYTE.encode()
    yield after


def long_stream() -> Iterator[bytes]:
    event = chunk(word(MEGABYTE))
    yield OPEN
    for _ in range(MEGABYTES):
        yield event
    yield chunk(END) + CLOSE


def dripping_reply() -> Iterator[Step]:
    data = json.dumps(chat_reply("One two")).encode()
    yield head(200, {**JSON, **CHUNKED})
    for i in range(0, len(data), 10):
        yield chunk(data[i : i + 10])
        yield 0.02
    yield CLOSE


def dripping_stream() -> Iterator[Step]:
    """Every byte of an event alone."""
    yield OPEN
    for byte in word("One two"):
        yield chunk(bytes([byte]))
    yield chunk(END) + CLOSE


def endless_words() -> Iterator[Step]:
    """Say a word now and then, for ever."""
    yield OPEN
    while True:
        yield chunk(word("word "))
        yield 0.1


def endless_comments() -> Iterator[Step]:
    """Say two words, and then keep the connection alive, for ever."""
    yield from open_stream()()
    while True:
        yield chunk(PING)
        yield 0.1


def endless_continues() -> Iterator[Step]:
    """Say 100 Continue (RFC 9110, 15.2.1) for ever, never an answer."""
    while True:
        yield b"HTTP/1.1 100 Continue\r\n\r\n"


def endless_drip() -> Iterator[Step]:
    """Send a reply that is no stream byte by byte, for ever."""
    yield head(200, {**JSON, **CHUNKED})
    while True:
        yield chunk(b" ")
        yield 0.1


def endless_body(status: int, headers: Mapping[str, str]) -> Steps:
    """Send a body of one line without end."""

    def steps() -> Iterator[Step]:
        yield head(status, {**headers, **CHUNKED})
        yield chunk(b'data: {"choices": [{"message": {"content": "')
        while True:
            yield chunk(b"0123456789abcdef" * 65536)

    return steps


@cache
def zipped_zeros() -> tuple[bytes, bytes]:
    """Return the beginning of a gzip body, and what may follow it any number of times."""
    packer = zlib.compressobj(9, zlib.DEFLATED, zlib.MAX_WBITS | 16)
    zeros = bytes(64 * 2**20)
    first = packer.compress(zeros) + packer.flush(zlib.Z_FULL_FLUSH)
    return first, packer.compress(zeros) + packer.flush(zlib.Z_FULL_FLUSH)


def endless_bomb(status: int, **headers: str) -> Steps:
    """Send zeros without end, a thousandth of their length as it is sent."""

    def steps() -> Iterator[Step]:
        first, next_ = zipped_zeros()
        yield head(status, {**JSON, **CHUNKED, "Content-Encoding": "gzip", **headers})
        yield chunk(first)
        while True:
            yield chunk(next_)

    return steps


HALF = b'{"choices": [{"index": 0, "message": {"role": "assistant", "con'
CALL = {"index": 0, "id": "c", "type": "function", "function": {"name": "f", "arguments": '{"a'}}
CALL_END = {"index": 0, "function": {"arguments": '": 1}'}}
WORDS = (word("One "), word("two"))
FINISH = chat_chunk({}, "stop")
DONE = b"data: [DONE]\n\n"
END = FINISH + DONE
PING = b": keep-alive\n\n"
OVERLOADED = {"error": {"message": "overloaded", "code": 503}}
TEXT = "naïve 日本 🙂"
MEGABYTES = 50
MEGABYTE = "0123456789abcdef" * 65536

# What is seen

WHOLE, STREAM = "whole", "stream"
BOTH = (WHOLE, STREAM)
AS_500 = "the 500 is LiteLLM's"
EMPTY_STOP = 'LiteLLM hides it: no text, and `finish_reason="stop"`'
INVENTED = 'LiteLLM hides it: `finish_reason="stop"` is its own'
LOST = "the connection ended before all of the reply was there"
LATE = "no answer within the time limit"
TOO_LONG = "the reply is longer than its max_response_bytes allows"
CUT = "MidStreamFallbackError"
IN_STREAM = "200, then an error event"


def unmade(name: str, provider: str, says: str) -> Fault:
    """Return a fault of which no request comes."""
    error = "InternalServerError"
    fault = Fault(name, list, BOTH, error, 500, 6, says, client="500", retried=True, note=AS_500)
    return fault._replace(provider=provider)


def refused(status: int, error: str, code: int, **more: Any) -> Fault:
    """Return the fault of an error status."""
    retried = status in (408, 409, 429) or status >= 500
    fault = Fault(f"{status}", refusal(status), BOTH, error, status, code)
    fault = fault._replace(says=f" answered {status}: no", client=str(status), retried=retried)
    return fault._replace(**more)


def unusable(name: str, steps: Steps, says: str, **more: Any) -> Fault:
    """Return the fault of a reply that LiteLLM takes for an error of the server."""
    fault = Fault(name, steps, (WHOLE,), "InternalServerError", 500, 7, says, client="500")
    return fault._replace(note=AS_500)._replace(**more)


def swallowed(name: str, steps: Steps) -> Fault:
    """Return the fault of a reply that is no event stream, which LiteLLM takes for an empty one."""
    says = "): the reply held no answer"
    return Fault(name, steps, (STREAM,), code=7, says=says, note=EMPTY_STOP)


def broken(name: str, steps: Steps, says: str, **more: Any) -> Fault:
    """Return the fault of a stream that breaks after two words."""
    fault = Fault(name, steps, (STREAM,), CUT, 500, 7, says, "One two", IN_STREAM)
    return fault._replace(note=AS_500)._replace(**more)


def harmless(name: str, steps: Steps, out: str = "One two", **more: Any) -> Fault:
    """Return the fault that nobody notices."""
    return Fault(name, steps, (STREAM,), out=out)._replace(**more)


SHAPES: Mapping[str, tuple[Any, str]] = {
    "object": ({}, "a response with no 'choices'"),
    "list": ([], "Empty or invalid response"),
    "choices": ({"choices": "x"}, "'choices' that is not a list"),
    "content": ({"choices": [{"message": {"content": 5}}]}, "Invalid response object\n"),
}

FAULTS: Mapping[str, Fault] = {
    "refused": unmade("connection refused", "refused", "): the connection was refused"),
    "unknown": unmade(
        "name not found", "unknown", "): the name of the host no-such-host.invalid is not known"
    ),
    "no-tls": unmade("TLS: the server speaks none", "no-tls", "): the TLS handshake failed"),
    "untrusted": unmade(
        "TLS: a certificate that nobody trusts",
        "untrusted",
        "): its TLS certificate cannot be verified",
    ),
    "closes": Fault(
        "accepts, then closes",
        list,
        BOTH,
        *("InternalServerError", 500, 7, LOST),
        client="500",
        retried=True,
        note=AS_500,
    ),
    "resets": Fault(
        "accepts, then resets",
        lambda: [End.RESET],
        BOTH,
        *("InternalServerError", 500, 7, LOST),
        client="500",
        retried=True,
        note=AS_500,
    ),
    "silent": Fault(
        "no answer until timeout",
        lambda: [End.HOLD],
        BOTH,
        *("Timeout", 408, 6, LATE),
        client="408",
        retried=True,
        limit=0.5,
    ),
    "silent-body": Fault(
        "headers, then no answer until timeout",
        lambda: [head(200, {**JSON, "Content-Length": "9"}), End.HOLD],
        (WHOLE,),
        *("Timeout", 408, 6, LATE),
        client="408",
        retried=True,
        limit=0.5,
    ),
    "silent-stream": Fault(
        "headers of a stream, then no answer until timeout",
        lambda: [OPEN, End.HOLD],
        (STREAM,),
        *("Timeout", 408, 6, LATE),
        client="408",
        limit=0.5,
    ),
    "silent-later": broken(
        "a stream that falls silent until timeout",
        open_stream(End.HOLD),
        LATE,
        error="Timeout",
        status=408,
        limit=2,
        note="",
    ),
    "400": refused(400, "BadRequestError", 1),
    "401": refused(401, "AuthenticationError", 3),
    "403": refused(403, "APIError", 3),
    "404": refused(404, "NotFoundError", 4),
    "408": refused(408, "Timeout", 6, note="LiteLLM's class is the one of a time limit here"),
    "409": refused(409, "APIError", 1),
    "413": refused(413, "APIError", 1),
    "422": refused(422, "BadRequestError", 1),
    "429": refused(429, "RateLimitError", 5, name="429 without Retry-After"),
    "429-wait": refused(
        429,
        "RateLimitError",
        5,
        name="429 with Retry-After",
        steps=refusal(429, Retry_After="1"),
        note="`litellm_response_headers` has `retry-after`; the gateway passes it on",
    ),
    "500": refused(500, "InternalServerError", 7),
    "502": refused(
        502,
        "BadGatewayError",
        7,
        name="502 with an HTML body",
        steps=reply(502, b"<html><h1>Bad gateway</h1></html>", {"Content-Type": "text/html"}),
        says=" answered 502: <html><h1>Bad gateway</h1></html>",
    ),
    "503": refused(503, "ServiceUnavailableError", 7),
    "529": refused(529, "APIError", 7),
    "307": Fault(
        "307 to another host",
        reply(307, b"", {"Location": "http://localhost:{elsewhere}/v1"}),
        BOTH,
        *("InternalServerError", 500, 6),
        "): it redirects to another host, which would get key and prompt",
        client="500",
        note="not followed; " + AS_500,
    ),
    "empty": unusable("empty body", reply(200, b""), "): the reply is not JSON"),
    "empty-stream": swallowed("empty body", reply(200, b"")),
    "truncated": unusable("truncated JSON", reply(200, HALF), "): the reply is not JSON"),
    "truncated-stream": swallowed("truncated JSON", reply(200, HALF)),
    "cut": unusable(
        "JSON cut by the end of the connection",
        reply(200, HALF, {**JSON, "Content-Length": "100"}),
        LOST,
        retried=True,
    ),
    **{
        f"shape-{name}": unusable(f"JSON of the wrong shape: {name}", reply(200, body), says)
        for name, (body, says) in SHAPES.items()
    },
    "shape-none": Fault(
        "JSON of the wrong shape: no choices",
        reply(200, {"choices": []}),
        (WHOLE,),
        code=7,
        says="): the reply held no answer",
        note="LiteLLM hides it: `choices` is an empty list",
    ),
    "shape-stream": swallowed("JSON of the wrong shape", reply(200, [])),
    "error-200": unusable(
        "`error` under 200",
        reply(200, OVERLOADED),
        " failed (ServiceUnavailableError): overloaded",
        error="ServiceUnavailableError",
        status=503,
        client="503",
        note="LiteLLM takes the status from `code` in the body",
    ),
    "error-200-stream": Fault(
        "`error` under 200",
        reply(200, OVERLOADED),
        (STREAM,),
        *(CUT, 503, 7),
        " failed (ServiceUnavailableError): overloaded",
        client="503",
        note="LiteLLM takes the status from `code` in the body",
    ),
    "cut-token": broken(
        "a stream cut in the middle of a token",
        # else LiteLLM's async transport drops what came just before the cut
        open_stream(1, chunk(word("three"))[:120]),
        LOST,
    ),
    "malformed": broken(
        "a stream with a malformed event",
        stream(*WORDS, b"data: {nonsense\n\n", END),
        "): the reply is not JSON",
    ),
    "misshapen": broken(
        "a stream with an event of the wrong shape",
        stream(*WORDS, b'data: {"choices": "x"}\n\n', END),
        " failed (APIConnectionError): 'str' object has no attribute",
    ),
    "error-event": broken(
        "an error event in mid-stream",
        stream(*WORDS, b"data: " + json.dumps(OVERLOADED).encode() + b"\n\n"),
        " failed (ServiceUnavailableError): overloaded",
        status=503,
        note="LiteLLM takes the status from `code` in the body",
    ),
    "no-done": harmless("a stream without [DONE]", stream(*WORDS, FINISH)),
    "no-finish": harmless("a stream that ends without finish", stream(*WORDS), note=INVENTED),
    "comments": harmless("keep-alive comments", stream(PING, WORDS[0], PING, WORDS[1], END)),
    "crlf": harmless(
        "CRLF", stream(*(event.replace(b"\n", b"\r\n") for event in (*WORDS, FINISH, DONE)))
    ),
    "tool": harmless(
        "a tool call split over chunks",
        stream(
            chat_chunk({"role": "assistant", "tool_calls": [CALL]}),
            chat_chunk({"tool_calls": [CALL_END]}),
            chat_chunk({}, "tool_calls"),
            DONE,
        ),
        out='{"name": "f", "arguments": "{\\"a\\": 1}"}',
    ),
    "utf-8": harmless("characters split over packets", split_reply, TEXT, modes=(WHOLE,)),
    "utf-8-stream": harmless("characters split over packets", split_stream, TEXT),
    "gzip": harmless(
        "gzip",
        reply(
            200,
            gzip.compress(json.dumps(chat_reply(TEXT)).encode()),
            {**JSON, "Content-Encoding": "gzip"},
        ),
        TEXT,
        modes=(WHOLE,),
    ),
    "gzip-stream": harmless("gzip", zipped_stream, TEXT),
    "long": harmless(
        f"a reply of {MEGABYTES} MB", long_reply, MEGABYTE * MEGABYTES, modes=(WHOLE,)
    ),
    "long-stream": harmless(f"a reply of {MEGABYTES} MB", long_stream, MEGABYTE * MEGABYTES),
    "too-long": unusable(
        "a reply that is longer than `max_response_bytes`",
        endless_body(200, JSON),
        TOO_LONG,
        provider="small",
    ),
    "too-long-stream": Fault(
        "a stream that is longer than `max_response_bytes`",
        endless_body(200, {"Content-Type": "text/event-stream"}),
        (STREAM,),
        *(CUT, 500, 7, TOO_LONG),
        client="500",
        provider="small",
        note=AS_500,
    ),
    "too-long-zipped": unusable(
        "gzip of a thousandfold length without end", endless_bomb(200), TOO_LONG, provider="small"
    ),
    "error-without-end": refused(
        500,
        "InternalServerError",
        7,
        name="500 with a body without end",
        steps=endless_body(500, JSON),
        says=" answered 500: data: ",
    ),
    "continues": Fault(
        "`100 Continue` without end",
        endless_continues,
        BOTH,
        *("Timeout", 408, 6, LATE),
        client="408",
        retried=True,
        limit=1,
    ),
    "drip-for-ever": Fault(
        "a slow drip without end",
        endless_drip,
        (WHOLE,),
        *("Timeout", 408, 6, LATE),
        client="408",
        retried=True,
        limit=1,
    ),
    "drip": harmless("a slow drip", dripping_reply, modes=(WHOLE,)),
    "drip-stream": harmless("a slow drip", dripping_stream),
}

OTHER_STEPS: Mapping[str, Steps] = {
    "endless": endless_words,
    "pings": endless_comments,
    "error-bomb": endless_bomb(401),
    "redirect-bomb": endless_bomb(303, Location="/v1/elsewhere"),
}
"""Faults with tests of their own."""


# The server


class Server:
    """The server: ``requests`` counts what arrived, by model id; ``handshakes`` those of TLS."""

    def __init__(self, port: int, elsewhere: int) -> None:
        self.port = port
        self.elsewhere = str(elsewhere).encode()
        self.requests: Counter[str] = Counter()
        self.handshakes = 0


class _Handler(socketserver.StreamRequestHandler):
    disable_nagle_algorithm = True
    owner: Server

    def handle(self) -> None:
        with suppress(OSError):  # the client may go whenever it likes
            if self.connection.recv(1, socket.MSG_PEEK) == b"\x16":  # RFC 8446, 5.1: a handshake
                self.owner.handshakes += 1
                self.connection.recv(65536)
                self.connection.sendall(head(400, {}))
            else:
                self._play(self._read())

    def _read(self) -> str:
        """Read all of a request: what is left unread would turn any end into a reset."""
        length = 0
        while line := self.rfile.readline(65536).strip():
            name, _, value = line.partition(b":")
            length = int(value) if name.lower() == b"content-length" else length
        data = self.rfile.read(length)
        if not data:
            return ""
        model: str = json.loads(data)["model"]
        self.owner.requests[model] += 1
        return model

    def _play(self, model: str) -> None:
        found = FAULTS.get(model)
        steps = found.steps if found else OTHER_STEPS.get(model, refusal(404))
        for step in steps():
            if isinstance(step, bytes):
                self.connection.sendall(step.replace(b"{elsewhere}", self.owner.elsewhere))
                time.sleep(PAUSE)
            elif isinstance(step, End):
                if step is End.HOLD:
                    self.connection.recv(1)
                linger = struct.pack("ii", 1, 0)
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                return
            else:
                time.sleep(step)


class _Threads(socketserver.ThreadingTCPServer):
    daemon_threads = True
    request_queue_size = 128
    context: ssl.SSLContext | None = None

    def handle_error(self, request: object, client_address: object) -> None:
        pass

    def finish_request(self, request: Any, client_address: Any) -> None:
        if self.context is not None:
            with suppress(OSError):
                self.context.wrap_socket(request, server_side=True)
            return
        super().finish_request(request, client_address)


@contextmanager
def fault_server(elsewhere: int = 0, certificate: Path | None = None) -> Iterator[Server]:
    """Serve all faults on a loopback port; 307 leads to the port ``elsewhere``.

    With a ``certificate`` it gets no further than the TLS handshake.
    """
    handler: type[_Handler] = type("Handler", (_Handler,), {})
    server = _Threads(("127.0.0.1", 0), handler)
    if certificate is not None:
        server.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        server.context.load_cert_chain(certificate)
    handler.owner = Server(server.server_address[1], elsewhere)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield handler.owner
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def unreachable_places(server: Server, folder: Path) -> Iterator[dict[str, str]]:
    """Yield base URLs under which no call gets through, by what is wrong with each."""
    certificate = folder / "certificate.pem"
    write_certificate(certificate)
    with fault_server(certificate=certificate) as untrusted, socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # so that nobody else gets the port; not listening
        yield {
            "refused": f"http://127.0.0.1:{closed.getsockname()[1]}/v1",
            "unknown": "https://no-such-host.invalid/v1",  # RFC 6761: never resolves
            "no-tls": f"https://127.0.0.1:{server.port}/v1",
            "untrusted": f"https://localhost:{untrusted.port}/v1",
        }
