"""A home with one key of its own in each place where a key can be, and a search for all of them.

Each provider has a server. ``Nursery.leaks`` says which key is where it does not belong: in what a
command wrote, in a file that is not meant for it, at another server, on a command line.
"""

from __future__ import annotations

import base64
import json
import logging
import os
import pickle
import secrets
import sys
import traceback
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import keyring.backend

from tests.recorder import Recorder, Reply, Request, recording_server

PLACES = {
    "inline": (".config/gptme/gptme.toml",),
    "variable": (),
    "env": (".config/gptme/config.toml",),
    "local": (".config/gptme/config.local.toml",),
    "cmd": ("key-for-cmd",),
    "file": ("key-file",),
    "keyring": ("keyring.json",),
    "headers": (".config/gptme/gptme.toml",),
    "headervar": (),
}
"""Place, which is its provider's name, too -> the files that are meant to hold its key."""

OTHERS = {
    "openai": (),  # $OPENAI_API_KEY, for no provider here
    "proxy": (),  # $LITELLM_PROXY_API_KEY, for a proxy of other people
    "master": (".config/gptme/config.local.toml",),
    "stdin": (".config/gptme/config.local.toml", "keyring.json"),
    "import": ("work/import.yaml",),
}

SHARED = """\
[[providers]]
name = "inline"
base_url = "{inline}"
api_key = "{key[inline]}"
default_model = "m"

[[providers]]
name = "variable"
base_url = "{variable}"
api_key_env = "NAMED_KEY"
default_model = "m"

[[providers]]
name = "env"
base_url = "{env}"
default_model = "m"

[[providers]]
name = "local"
base_url = "{local}"
default_model = "m"

[[providers]]
name = "cmd"
base_url = "{cmd}"
default_model = "m"

[[providers]]
name = "file"
base_url = "{file}"
default_model = "m"

[[providers]]
name = "keyring"
base_url = "{keyring}"
default_model = "m"

[[providers]]
name = "headers"
base_url = "{headers}"
default_model = "m"

[[providers]]
name = "headervar"
base_url = "{headervar}"
default_model = "m"

[plugin.litellm.providers.cmd]
api_key_cmd = {command}

[plugin.litellm.providers.file]
api_key_file = "{home}/key-file"

[plugin.litellm.providers.keyring]
api_key_keyring = true

[plugin.litellm.providers.headers]
extra_headers = {{ "api-key" = "{key[headers]}", "X-Team" = "blue" }}

[plugin.litellm.providers.headervar]
extra_headers = {{ "X-Passport" = "$PASSPORT" }}
"""

LOCAL = """\
[[providers]]
name = "local"
api_key = "{key[local]}"

[plugin.litellm.general_settings]
master_key = "{key[master]}"
"""

COMMAND = """\
import pathlib
print(pathlib.Path({path!r}).read_text())
"""


class FileKeyring(keyring.backend.KeyringBackend):
    """A keyring in ``$HOME/keyring.json``."""

    priority = 1

    def _all(self) -> dict[str, str]:
        with suppress(FileNotFoundError):
            found: dict[str, str] = json.loads(self._path().read_text())
            return found
        return {}

    def _path(self) -> Path:
        return Path(os.environ["HOME"], "keyring.json")

    def get_password(self, service: str, username: str) -> str | None:
        return self._all().get(username)

    def set_password(self, service: str, username: str, password: str) -> None:
        self._path().write_text(json.dumps({**self._all(), username: password}))

    def delete_password(self, service: str, username: str) -> None:
        left = self._all()
        del left[username]
        self._path().write_text(json.dumps(left))


def _batch_line(place: str) -> str:
    body = {"model": place, "messages": [{"role": "user", "content": place}]}
    line = {"custom_id": place, "method": "POST", "url": "/v1/chat/completions", "body": body}
    return json.dumps(line) + "\n"


class Nursery:
    """The home, the servers and the keys. Its ``repr`` shows none, so that a test may hold it."""

    def __init__(self, home: Path, servers: Mapping[str, Recorder]) -> None:
        self.home = home
        self.work = home / "work"
        self.servers = servers
        # no shape that anybody would take for a key's, and no word of another
        self._keys = {p: f"canary.{p}.{secrets.token_hex(8)}" for p in (*PLACES, *OTHERS)}
        self.command_lines: set[bytes] = set()
        self.extra_files: dict[str, tuple[str, ...]] = {}
        for server in servers.values():
            server.script = self._watch

    def key(self, place: str) -> str:
        return self._keys[place]

    def write(self) -> None:
        """Make all files anew: a command may have changed them."""
        self.extra_files = {}
        for name in ("work", "tmp", "runtime", ".config/gptme"):
            (self.home / name).mkdir(parents=True, exist_ok=True)
        for path in [*self.work.iterdir(), *(self.home / ".config/gptme").iterdir()]:
            path.unlink()
        script = self.home / "print-key.py"
        urls = {place: server.base_url for place, server in self.servers.items()}
        shared = SHARED.format(
            **urls,
            key=self._keys,
            home=self.home,
            command=json.dumps([sys.executable, str(script)]),
        )
        files = {
            ".config/gptme/gptme.toml": shared,
            ".config/gptme/config.toml": f'[env]\nENV_API_KEY = "{self.key("env")}"\n',
            ".config/gptme/config.local.toml": LOCAL.format(key=self._keys),
            "key-file": self.key("file"),
            "key-for-cmd": self.key("cmd"),
            "print-key.py": COMMAND.format(path=str(self.home / "key-for-cmd")),
            "keyring.json": json.dumps({"keyring": self.key("keyring")}),
            "work/import.yaml": json.dumps(self._importable()),
            "work/batch.jsonl": "".join(map(_batch_line, PLACES)),
        }
        for name, text in files.items():
            path = self.home / name
            path.write_text(text)
            path.chmod(0o600)

    def _importable(self) -> dict[str, Any]:
        """A ``config.yaml`` (JSON is YAML) with a key in it."""
        params = {
            "model": "openai/m",
            "api_base": "https://imported.example/v1",
            "api_key": self.key("import"),
            "extra_headers": {"api-key": self.key("import")},
        }
        general = {"master_key": self.key("import")}
        entry = {"model_name": "imported", "litellm_params": params}
        return {"model_list": [entry], "general_settings": general}

    def environ(self) -> dict[str, str]:
        """The variables of a process that lives here."""
        return {
            "HOME": str(self.home),
            "XDG_CONFIG_HOME": str(self.home / ".config"),
            "XDG_RUNTIME_DIR": str(self.home / "runtime"),
            "TMPDIR": str(self.home / "tmp"),
            "NAMED_KEY": self.key("variable"),
            "PASSPORT": self.key("headervar"),
            "OPENAI_API_KEY": self.key("openai"),
            "OPENAI_BASE_URL": "http://127.0.0.1:9/v1",
            "LITELLM_PROXY_API_KEY": self.key("proxy"),
            "PYTHON_KEYRING_BACKEND": "tests.canaries.FileKeyring",
        }

    def _watch(self, request: Request) -> Reply | None:
        self.command_lines |= command_lines()
        return None

    def echo(self, status: int) -> None:
        """Let each server answer with ``status`` and repeat all it was sent, wherever it can."""

        def script(request: Request) -> Reply:
            self._watch(request)
            said = f"no: {json.dumps(request.headers)} {request.raw.decode('latin-1')}"
            repeated = {
                f"X-Echo-{n}": v.encode("latin-1", "replace").decode("latin-1")
                for n, v in request.headers.items()
                if "canary" in v
            }
            return Reply(status, {"error": {"message": said, "type": said}}, repeated)

        for server in self.servers.values():
            server.script = script

    def answer(self) -> None:
        """Let each server answer as it does by itself, and forget what it was sent."""
        for server in self.servers.values():
            server.script = self._watch
            server.requests.clear()

    # ---- the search

    def leaks(self, *said: Any, meant: Iterable[str] = ()) -> list[str]:
        """Return where a key is that does not belong there; ``meant`` are the places to leave out.

        ``said`` is what was written or shown, as text or bytes.
        """
        found = []
        for number, text in enumerate(said):
            found += [f"{place} in text {number}" for place in self._in(text) if place not in meant]
        for place, path in self._in_files():
            found.append(f"{place} in file {path}")
        for server, recorder in self.servers.items():
            for request in recorder.requests:
                sent = f"{request.path} {request.headers}".encode() + request.raw
                found += [f"{p} at server {server}" for p in self._in(sent) if p != server]
        for line in self.command_lines | command_lines():
            found += [f"{place} on a command line" for place in self._in(line)]
        return sorted(set(found))

    def _in(self, text: str | bytes) -> Iterator[str]:
        data = text.encode("utf-8", "surrogateescape") if isinstance(text, str) else text
        for place, key in self._keys.items():
            forms = {key.encode(), quote(key, safe="").encode(), *_base64(key)}
            if any(form in data for form in forms):
                yield place

    def _in_files(self) -> Iterator[tuple[str, str]]:
        for path in self.home.rglob("*"):
            if not path.is_file():
                continue
            name = str(path.relative_to(self.home))
            for place in self._in(name.encode() + b"\n" + path.read_bytes()):
                allowed = {**PLACES, **OTHERS}[place] + self.extra_files.get(place, ())
                if name not in allowed:
                    yield place, name

    def leaks_of(self, error: BaseException, **options: Any) -> list[str]:
        """Return :meth:`leaks` of everything that an error can be made to show."""
        return self.leaks(*shown(error), **options)


def _base64(key: str) -> Iterator[bytes]:
    """Yield the part of a key's Base64 that is the same wherever in a text it begins."""
    for offset in range(3):
        whole = base64.b64encode(b"x" * offset + key.encode())
        yield whole[4 if offset else 0 : -4]


def command_lines() -> set[bytes]:
    """Return the command line of every process of this machine."""
    found = set()
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            found.add(path.read_bytes())
    return found


def shown(error: BaseException) -> list[str | bytes]:
    """Return all texts of an error, of those it came from, their locals, and its pickle.

    The frames of the tests are left out: they are the caller's, and hold what it put there.
    """
    texts: list[str | bytes] = []
    waiting: list[BaseException | None] = [error]
    seen: set[int] = set()
    while waiting:
        one = waiting.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        texts += [str(one), repr(one), repr(one.args), repr(vars(one))]
        texts += getattr(one, "__notes__", [])
        texts += _response_texts(one)
        stack = traceback.TracebackException(type(one), one, one.__traceback__, capture_locals=True)
        for frame in stack.stack:
            if f"{os.sep}tests{os.sep}" not in frame.filename:
                texts += [
                    f"{frame.filename} {name}={v}" for name, v in (frame.locals or {}).items()
                ]
        texts += pickled(one)
        waiting += [one.__cause__, one.__context__]
    return texts


def _response_texts(error: BaseException) -> Iterator[str]:
    response = getattr(error, "response", None)
    for owner in (response, getattr(response, "_request", None), getattr(error, "request", None)):
        if owner is not None:
            yield repr(getattr(getattr(owner, "headers", None), "raw", None))
    with suppress(Exception):  # a response that was not read
        yield str(getattr(response, "text", ""))


def pickled(value: Any) -> list[bytes]:
    """Return the pickles that can be made of ``value``; a refusal is as good as none."""
    made = []
    for protocol in (0, pickle.HIGHEST_PROTOCOL):
        with suppress(Exception):
            made.append(pickle.dumps(value, protocol))
    return made


class _Lines(logging.Handler):
    def __init__(self) -> None:
        super().__init__(1)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        with suppress(Exception):
            self.lines.append(f"{self.format(record)} {record.args} {record.name}")


@contextmanager
def all_logs() -> Iterator[list[str]]:
    """Turn on every log there is, LiteLLM's as ``LITELLM_LOG=DEBUG`` does; yield its lines."""
    import litellm
    from litellm import _logging

    loggers = {n: logging.getLogger(n) for n in ("", "openai", "httpx", "httpcore")}
    loggers |= {g.name: g for g in _logging._get_loggers_to_initialize() if g.name}
    levels = {name: logger.level for name, logger in loggers.items()}
    handler = _Lines()
    streams = [h for logger in loggers.values() for h in logger.handlers]
    quiet = {h: h.level for h in streams}
    litellm._turn_on_debug()
    for stream in streams:
        stream.setLevel(logging.CRITICAL + 1)  # LiteLLM's own handler prints the same lines
    for logger in loggers.values():
        logger.setLevel(1)
    logging.getLogger().addHandler(handler)
    try:
        yield handler.lines
    finally:
        logging.getLogger().removeHandler(handler)
        for name, level in levels.items():
            loggers[name].setLevel(level)
        for stream, level in quiet.items():
            stream.setLevel(level)


@contextmanager
def nursery(home: Path) -> Iterator[Nursery]:
    """Serve every provider of a new home under ``home``."""
    with ExitStack() as stack:
        servers = {place: stack.enter_context(recording_server()) for place in (*PLACES, "proxy")}
        made = Nursery(home, servers)
        made.write()
        yield made
