"""The input of a batch: OpenAI's batch lines, or records that fill in a prompt."""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
import shutil
import stat
import string
import sys
import tempfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, BinaryIO, NoReturn

from adapter._files import reason
from adapter._install import install_extra
from adapter.errors import ConfigError, ExitCode
from adapter.gateway.requests import ROUTING_FIELDS

__all__ = ["URLS", "InputError", "Recipe", "Request", "Source", "hash_of"]

LONGEST_LINE = 64 * 1024 * 1024
"""In bytes; a line with images in it has a few megabytes."""

URLS = {
    "/v1/chat/completions": "messages",
    "/v1/completions": "prompt",
    "/v1/embeddings": "input",
    "/v1/responses": "input",
}
"""The url of a line -> the field that its body must have (OpenAI, "Batch API")."""

REFUSED = ROUTING_FIELDS | {"api_key", "extra_headers", "headers"}
"""Fields of a body that would send a key elsewhere, or another key."""


class InputError(Exception):
    """What is wrong with a line of the input: the message, the fix, and the exit code for it."""

    def __init__(self, message: str, fix: str, code: int = ExitCode.USAGE) -> None:
        super().__init__(message)
        self.fix = fix
        self.code = code
        self.number: int | None = None


def hash_of(text: str) -> int:
    """Return a hash of 64 bits (BLAKE2b): among a million texts two are alike once in 10**7."""
    digest = blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "little")


@dataclass(frozen=True, slots=True)
class Request:
    """One request. ``number`` is its line in the input, or its row, counted from 1."""

    number: int
    custom_id: str
    url: str
    body: dict[str, Any]

    def hash(self) -> int:
        """Return the hash of what is asked, whatever the order of its fields."""
        return hash_of(self.url + json.dumps(self.body, sort_keys=True))


@dataclass(frozen=True)
class Recipe:
    """How records become requests: what the command says besides the input.

    With ``prompt``, whose ``{field}`` stand for fields of the record, records are plain; else they
    are OpenAI's batch lines. ``model``, ``options`` and ``schema`` (OpenAI's ``response_format``)
    are for requests that do not name their own. Raises :class:`ConfigError` for a prompt that
    cannot be filled in.
    """

    model: str | None = None
    prompt: str | None = None
    system: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    schema: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        if self.prompt is None:
            if self.system is not None:
                raise ConfigError(
                    "a system message (-s) needs --prompt: batch lines have their own"
                )
            return
        if not self.prompt:
            raise ConfigError("--prompt is empty")
        try:
            parts = list(string.Formatter().parse(self.prompt))
        except ValueError as error:
            raise ConfigError(f"--prompt: {error}; write {{{{ and }}}} for braces") from None
        if any(name == "" or spec or conversion for _, name, spec, conversion in parts):
            raise ConfigError("--prompt: write {FIELD} for a field, {{ and }} for braces")

    def request(self, number: int, record: Any) -> Request:
        """Return the request that a record stands for. Raises :class:`InputError`."""
        if isinstance(record, bytes):
            record = _json(record)
        if not isinstance(record, dict):
            raise InputError("the line is not a JSON object", "write one object per line")
        request = self._filled(number, record) if self.prompt else _batch_line(number, record)
        body = request.body
        if self.model and "model" not in body:
            body["model"] = self.model
        for name, value in self.options.items():
            body.setdefault(name, value)
        if self.schema is not None:
            if request.url == "/v1/chat/completions":
                body.setdefault("response_format", self.schema)
            elif request.url == "/v1/responses":
                inner = {"type": self.schema["type"], **self.schema["json_schema"]}
                body.setdefault("text", {"format": inner})
        _check_body(request)
        return request

    def _filled(self, number: int, record: dict[str, Any]) -> Request:
        """Return a chat completion whose prompt is filled in from a plain record."""
        text = ""
        for literal, name, _, _ in string.Formatter().parse(self.prompt or ""):
            text += literal
            if name is not None:
                if record.get(name) is None:
                    raise InputError(
                        f"the record has no field {name!r}", "add it, or change --prompt"
                    )
                value = record[name]
                text += value if isinstance(value, str) else json.dumps(value, default=str)
        messages = [{"role": "user", "content": text}]
        if self.system is not None:
            messages.insert(0, {"role": "system", "content": self.system})
        custom_id = record.get("custom_id")
        custom_id = f"row-{number}" if custom_id in (None, "") else str(custom_id)
        return Request(number, custom_id, "/v1/chat/completions", {"messages": messages})


def _batch_line(number: int, record: dict[str, Any]) -> Request:
    custom_id, url, body = (record.get(name) for name in ("custom_id", "url", "body"))
    if not isinstance(custom_id, str) or not custom_id:
        raise InputError(
            "custom_id is missing", 'write "custom_id": "...", a different one in each line'
        )
    if record.get("method", "POST") != "POST":
        raise InputError("method is not POST", 'write "method": "POST"')
    if url not in URLS:
        raise InputError(f"unknown url {url!r}", f"use one of: {', '.join(URLS)}")
    if not isinstance(body, dict):
        raise InputError("body is not a JSON object", 'write "body": {"model": "...", ...}')
    return Request(number, custom_id, url, body)


def _check_body(request: Request) -> None:
    body = request.body
    if refused := sorted(REFUSED & body.keys()):
        raise InputError(
            f"{refused[0]} is not allowed in a body: a key goes to its provider's base_url only",
            "name a configured provider in model",
        )
    if body.get("stream"):
        raise InputError("stream is not supported in a batch", "remove it")
    if not isinstance(body.get("model"), str) or not body["model"]:
        raise InputError("the body names no model", "add it, or name one with -m")
    if (needed := URLS[request.url]) not in body:
        raise InputError(f"the body has no {needed}", f"{request.url} needs it")


def _json(line: bytes) -> Any:
    try:
        return json.loads(line.decode("utf-8-sig").rstrip(), parse_constant=_not_json)
    except (ValueError, RecursionError) as error:
        where = (
            f"{error.msg} at column {error.colno}"
            if isinstance(error, json.JSONDecodeError)
            else error
        )
        raise InputError(f"the line is not JSON: {where}", "correct it") from None


def _not_json(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON value")


class Source:
    """An input that is read several times, from one open file: what replaces it does not count.

    ``path`` is a file, a pipe, or ``-`` for stdin; of the last two a copy is made in ``folder``,
    without a name. Raises :class:`ConfigError` where it cannot be read, or ``records`` are plain
    and the format has no name.
    """

    def __init__(self, path: str, folder: str, *, plain: bool) -> None:
        self.path = path
        name = path.lower().removesuffix(".gz")
        self._format = name.rpartition(".")[2] if name.endswith((".csv", ".parquet")) else "jsonl"
        if self._format != "jsonl" and not plain:
            raise ConfigError(f"{path}: records of a {self._format} file need --prompt")
        try:
            handle = 0 if path == "-" else os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            self._file: BinaryIO = os.fdopen(handle, "rb", closefd=path != "-")
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                self._file = _copy(self._file, folder)
        except (OSError, ValueError) as error:
            raise ConfigError(f"{path}: {reason(error)}") from None

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def is_same_as(self, path: str) -> bool:
        """Whether ``path`` is the file that is read."""
        return os.path.exists(path) and os.path.samestat(
            os.fstat(self._file.fileno()), os.stat(path)
        )

    def records(self) -> Iterator[tuple[int, Any]]:
        """Yield each record, from the first one on, with its number.

        A record is a line in bytes, or a dictionary of a CSV or Parquet file. Raises
        :class:`InputError` where the file cannot be read on.
        """
        raw = io.BufferedReader(_Positioned(self._file.fileno()), 1 << 18)
        number = 0
        try:
            packed = raw.peek(2)[:2] == b"\x1f\x8b"
            file: Any = gzip.GzipFile(fileobj=raw) if packed else raw
            for number, record in _READERS[self._format](file):
                yield number, record
        except InputError as error:
            error.number = number + 1
            raise
        except (OSError, EOFError, zlib.error, UnicodeDecodeError, csv.Error) as error:
            unreadable = InputError(f"the file cannot be read: {error}", "correct the file")
            unreadable.number = number + 1
            raise unreadable from None


def _copy(file: BinaryIO, folder: str) -> BinaryIO:
    with file:
        copy = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - the source closes it
        shutil.copyfileobj(file, copy, 1 << 18)
        copy.flush()
    return copy


class _Positioned(io.RawIOBase):
    """A reader of a shared descriptor with a position of its own."""

    def __init__(self, handle: int) -> None:
        self._handle = handle
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = os.pread(self._handle, len(buffer), self._at)
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._at = (0, self._at, os.fstat(self._handle).st_size)[whence] + offset
        return self._at

    def tell(self) -> int:
        return self._at


def _lines(file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    number = 0
    while line := file.readline(LONGEST_LINE + 1):
        if len(line) > LONGEST_LINE:
            raise InputError(f"the line has more than {LONGEST_LINE:,} bytes", "split it")
        if number == 0:
            line = line.removeprefix(b"\xef\xbb\xbf")
        number += 1
        if not line.isspace():
            yield number, line


def _rows(file: BinaryIO) -> Iterator[tuple[int, dict[str, Any]]]:
    csv.field_size_limit(min(LONGEST_LINE, sys.maxsize))  # csv's own is 128 KB
    text = io.TextIOWrapper(file, encoding="utf-8-sig", newline="")
    yield from enumerate(csv.DictReader(text, strict=True), start=1)


def _parquet(file: BinaryIO) -> Iterator[tuple[int, dict[str, Any]]]:
    try:
        from pyarrow import ArrowException
        from pyarrow.parquet import ParquetFile
    except ImportError:
        raise ConfigError(f"a Parquet file needs pyarrow: {install_extra('parquet')}") from None
    number = 0
    try:
        for part in ParquetFile(file).iter_batches(batch_size=1000):
            for record in part.to_pylist():
                number += 1
                yield number, record
    except ArrowException as error:
        raise InputError(f"the file cannot be read: {error}", "correct the file") from None


_READERS = {"jsonl": _lines, "csv": _rows, "parquet": _parquet}
"""Format -> what yields its records, numbered from 1."""
