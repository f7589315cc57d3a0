"""A real local HTTP server that answers as an OpenAI-compatible one and keeps what it was sent."""

from __future__ import annotations

import json
import ssl
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

ANSWER = "Hello, world"


@dataclass
class Request:
    """One request as it arrived: method, path, headers (names in lower case), raw body."""

    method: str
    path: str
    headers: dict[str, str]
    raw: bytes

    @property
    def body(self) -> dict[str, Any]:
        parsed: dict[str, Any] = json.loads(self.raw)
        return parsed

    @property
    def key(self) -> str | None:
        return self.headers.get("authorization", "").removeprefix("Bearer ") or None


@dataclass
class Reply:
    """What to answer: a status, a body, headers; ``cut`` closes half way.

    A body is bytes, anything JSON, or an iterator of bytes, each piece sent as soon as it is there.
    """

    status: int = 200
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    cut: bool = False


Script = Callable[[Request], "Reply | None"]


def chat_chunk(delta: dict[str, Any], finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    chunk = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    return b"data: " + json.dumps({**chunk, "choices": [choice]}).encode() + b"\n\n"


def chat_stream(words: list[str], done: bool = True) -> bytes:
    events = [chat_chunk({"role": "assistant", "content": word}) for word in words]
    return b"".join([*events, *([chat_chunk({}, "stop"), b"data: [DONE]\n\n"] if done else [])])


def chat_reply(content: str | None = ANSWER, **message: Any) -> dict[str, Any]:
    return {
        "id": "c",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": content, **message},
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
    }


def text_reply(content: str = ANSWER) -> dict[str, Any]:
    choice = {"index": 0, "text": content, "finish_reason": "stop", "logprobs": None}
    usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
    base = {"id": "t", "object": "text_completion", "created": 1, "model": "m"}
    return {**base, "choices": [choice], "usage": usage}


RESPONSE = {
    "id": "resp_1",
    "object": "response",
    "created_at": 1,
    "status": "completed",
    "model": "m",
    "output": [
        {
            "type": "message",
            "id": "msg_1",
            "status": "completed",
            "role": "assistant",
            "content": [{"type": "output_text", "text": ANSWER, "annotations": []}],
        }
    ],
    "parallel_tool_calls": True,
    "tool_choice": "auto",
    "tools": [],
    "usage": {"input_tokens": 1, "output_tokens": 1, "total_tokens": 2},
}

REPLIES: dict[str, Any] = {
    "/chat/completions": chat_reply(),
    "/completions": text_reply(),
    "/embeddings": {
        "object": "list",
        "model": "m",
        "data": [{"object": "embedding", "index": 0, "embedding": [0.5]}],
        "usage": {"prompt_tokens": 1, "total_tokens": 1},
    },
    "/responses": RESPONSE,
    "/images/generations": {"created": 1, "data": [{"url": "http://localhost/x.png"}]},
    "/audio/transcriptions": {"text": ANSWER},
    "/audio/speech": b"sound",
    "/moderations": {"id": "m", "model": "m", "results": []},
    "/models": {"object": "list", "data": [{"id": "m", "object": "model"}]},
}


class Recorder:
    """The server. ``requests`` is what arrived; ``script`` may answer instead of the defaults."""

    def __init__(self, server: ThreadingHTTPServer) -> None:
        self.requests: list[Request] = []
        self.script: Script | None = None
        self.origin = f"http://127.0.0.1:{server.server_address[1]}"
        self.base_url = f"{self.origin}/v1"

    @property
    def last(self) -> Request:
        return self.requests[-1]

    @property
    def only(self) -> Request:
        assert len(self.requests) == 1, self.requests
        return self.requests[0]

    def fail(self, status: int, message: str = "no", **headers: str) -> None:
        """Answer every request with an OpenAI error of that status."""
        body = {"error": {"message": message, "type": "t", "code": status}}
        self.script = lambda request: Reply(status, body, headers)

    def answer(self, request: Request) -> Reply:
        reply = self.script(request) if self.script else None
        if reply is not None:
            return reply
        path = request.path.partition("?")[0]
        found = next((r for tail, r in REPLIES.items() if path.endswith(tail)), None)
        if path.endswith("/chat/completions"):
            found = REPLIES["/chat/completions"]
            if request.body.get("stream"):
                return Reply(200, chat_stream(["Hello", ", ", "world"]))
        elif path.endswith("/completions") and request.body.get("stream"):
            event = b"data: " + json.dumps(text_reply()).encode() + b"\n\n"
            return Reply(200, event + b"data: [DONE]\n\n")
        if found is None:
            return Reply(404, {"error": {"message": f"no such path {path}"}})
        return Reply(200, found)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else headers and body wait 40 ms for each other
    recorder: Recorder

    def log_message(self, *args: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self._serve()

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def _serve(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = Request(self.command, self.path, headers, self._body(headers))
        self.recorder.requests.append(request)
        reply = self.recorder.answer(request)
        try:
            if isinstance(reply.body, Iterator):
                self._send_pieces(reply, reply.body)
            else:
                self._send(reply)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True  # the client has gone, as some tests want it to

    def _send_pieces(self, reply: Reply, pieces: Iterator[bytes]) -> None:
        self.send_response(reply.status)
        headers = {"Content-Type": "text/event-stream", "Transfer-Encoding": "chunked"}
        for name, value in {**headers, **reply.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        for piece in pieces:
            self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
        self.wfile.write(b"0\r\n\r\n")

    def _send(self, reply: Reply) -> None:
        body = reply.body if isinstance(reply.body, bytes) else json.dumps(reply.body).encode()
        stream = isinstance(reply.body, bytes) and body.startswith(b"data:")
        self.send_response(reply.status)
        kind = "text/event-stream" if stream else "application/json"
        for name, value in {"Content-Type": kind, **reply.headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body) + (100 if reply.cut else 0)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
            self.wfile.flush()
        if reply.cut:
            self.close_connection = True

    def _body(self, headers: dict[str, str]) -> bytes:
        if headers.get("transfer-encoding") != "chunked":
            return self.rfile.read(int(headers.get("content-length", 0)))
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Let a client close its connection when it likes; any other error is shown."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]  # as given


@contextmanager
def recording_server(port: int = 0, certificate: Path | None = None) -> Iterator[Recorder]:
    """Serve on a loopback port, by default a free one, for the length of the block.

    With a ``certificate`` (:func:`write_certificate`) it speaks TLS, as ``localhost``.
    """
    handler: type[_Handler] = type("Handler", (_Handler,), {})
    server = _Server(("127.0.0.1", port), handler)
    recorder = handler.recorder = Recorder(server)
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        recorder.base_url = f"https://localhost:{server.server_address[1]}/v1"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield recorder
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def write_certificate(path: Path) -> None:
    """Write a key and a self-signed certificate for ``localhost``."""
    from datetime import datetime, timedelta, timezone

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(timezone.utc)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    format_ = serialization.PrivateFormat.PKCS8
    key_bytes = key.private_bytes(pem, format_, serialization.NoEncryption())
    path.write_bytes(key_bytes + certificate.public_bytes(pem))
