"""The files that a batch writes: OUTPUT, the errors, and the journal of what was sent.

Lines are appended whole and are on disk when :meth:`Files.append` returns. The journal, OUTPUT
with ``.journal`` after it, is locked by the run that writes; the kernel lets go however that ends.
Its first line is JSON; 33 bytes follow for each request, before it is sent.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import stat
import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple

from adapter._files import reason
from adapter.errors import AdapterError, ConfigError

__all__ = ["ASKED_AGAIN", "REQUEST", "Files", "Record", "WriteError", "errors_path"]

REQUEST, ASKED_AGAIN = 1, 2
"""Kinds of journal records: a request that is sent now; a line whose failure no longer counts."""

_RECORD = struct.Struct("<QQdIBI")  # the last is the CRC-32 of the others
_BLOCK = 1 << 16
_FORMAT = "gptme-litellm batch 1"
_sync = getattr(os, "fdatasync", os.fsync)


class WriteError(AdapterError):
    """A file of the batch can no longer be written; all that was told to be on disk is there."""


class Record(NamedTuple):
    """A journal record: hashes of the id and the request, when (Unix time), tokens, the kind."""

    id_hash: int
    request: int
    time: float
    tokens: int
    kind: int = REQUEST

    def pack(self) -> bytes:
        """Return the record as it stands in the journal."""
        fields = _RECORD.pack(*self, 0)[:-4]
        return fields + struct.pack("<I", zlib.crc32(fields))


def errors_path(output: str) -> str:
    """Return where the errors go by default: ``out.errors.jsonl`` for ``out.jsonl``."""
    root, extension = os.path.splitext(output)
    return f"{root}.errors{extension}"


class Files:
    """OUTPUT, the errors file and the journal, from :meth:`open` to :meth:`close`."""

    def __init__(self, output: str, errors: str) -> None:
        self.output = os.path.realpath(output)
        self.errors = os.path.realpath(errors)
        self.journal = f"{self.output}.journal"
        self._handles: dict[str, int] = {}

    def open(self) -> None:
        """Open the files, made where there are none, and cut what a crash has left unfinished.

        Raises :class:`AdapterError` where another run has them, :class:`ConfigError` where they are
        not of a batch or of one with another errors file, :class:`WriteError`.
        """
        for path in filter(os.path.isdir, (self.output, self.errors)):
            raise ConfigError(f"{path} is a folder: name a file")
        try:
            self._open(self.journal)
            fcntl.flock(self._handles[self.journal], fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise AdapterError(
                f"another run is writing {self.output}: wait until it ends"
            ) from None
        except OSError as error:
            raise _failed(self.journal, error) from None
        try:
            for path in (self.output, self.errors):
                self._open(path)
            self._begin()
            for path in (self.output, self.errors):
                _cut_line(self._handles[path])
        except OSError as error:
            raise _failed(error.filename or self.output, error) from None

    def _open(self, path: str) -> None:
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NONBLOCK
        handle = self._handles[path] = os.open(path, flags, 0o666)
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise ConfigError(f"{path} is not a regular file, so no run could be resumed")

    def _begin(self) -> None:
        """Read the first line of the journal, or write it where nothing was asked yet."""
        handle = self._handles[self.journal]
        header = {
            "format": _FORMAT,
            "errors": os.path.relpath(self.errors, os.path.dirname(self.output)),
        }
        line, ended, _ = os.pread(handle, _BLOCK, 0).partition(b"\n")
        if ended:
            try:
                previous = json.loads(line)
            except ValueError:
                previous = None
            if not isinstance(previous, dict) or previous.get("format") != _FORMAT:
                raise ConfigError(
                    f"{self.journal} is not the journal of a batch: name another OUTPUT"
                )
            if previous != header:
                raise ConfigError(f"{self.output} was begun with --errors {previous['errors']}")
            return
        for path in (self.output, self.errors):
            if os.fstat(self._handles[path]).st_size:
                raise ConfigError(
                    f"{path} already exists and does not belong to a batch that can be resumed "
                    f"({self.journal} is missing): name another file, or remove it"
                )
        os.ftruncate(handle, 0)
        _write(handle, json.dumps(header).encode() + b"\n")
        _sync(handle)
        for folder in {os.path.dirname(self.output), os.path.dirname(self.errors)}:
            opened = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
            os.fsync(opened)  # the names of the files
            os.close(opened)

    def records(self) -> Iterator[Record]:
        """Yield what the journal holds; from the first record that is not whole on, it is cut."""
        handle = self._handles[self.journal]
        at = os.pread(handle, _BLOCK, 0).index(b"\n") + 1
        size = _RECORD.size
        while block := os.pread(handle, 1000 * size, at):
            for start in range(0, len(block), size):
                part = block[start : start + size]
                if len(part) < size or zlib.crc32(part[:-4]) != struct.unpack("<I", part[-4:])[0]:
                    os.ftruncate(handle, at + start)
                    return
                yield Record(*_RECORD.unpack(part)[:-1])
            at += len(block)

    def size(self, path: str) -> int:
        """Return how many bytes a file has."""
        return os.fstat(self._handles[path]).st_size

    def custom_ids(self, path: str) -> Iterator[str]:
        """Yield the ``custom_id`` of each line of OUTPUT or the errors file."""
        with open(path, "rb") as file:
            for number, line in enumerate(file, start=1):
                try:
                    yield str(json.loads(line)["custom_id"])
                except (ValueError, LookupError, TypeError, RecursionError):
                    raise ConfigError(
                        f"{path}:{number}: not a line of a batch; was the file changed?"
                    ) from None

    def set_errors_aside(self) -> None:
        """Begin the errors file anew; the old one is kept with ``.previous`` after its name."""
        try:
            os.replace(self.errors, f"{self.errors}.previous")
            os.close(self._handles.pop(self.errors))
            self._open(self.errors)
        except OSError as error:
            raise _failed(self.errors, error) from None

    def append(self, data: dict[str, bytes]) -> None:
        """Append to each file, and return when all of it is on disk.

        Raises :class:`WriteError` where that fails, or a file is no longer in its place; no part of
        a line is left then, as far as the disk lets it be cut.
        """
        for path, added in data.items():
            handle = self._handles[path]
            try:
                info = os.fstat(handle)
                if not os.path.samestat(info, os.stat(path)):
                    raise FileNotFoundError(errno.ENOENT, "another file is in its place")
                try:
                    _write(handle, added)
                    _sync(handle)
                except OSError:
                    os.ftruncate(handle, info.st_size)
                    raise
            except OSError as error:
                raise _failed(path, error) from None

    def close(self) -> None:
        """Close the files; the lock goes with the journal."""
        while self._handles:
            os.close(self._handles.popitem()[1])


def _failed(path: str, error: OSError) -> WriteError:
    return WriteError(f"{path} cannot be written: {reason(error)}")


def _write(handle: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(handle, view) :]


def _cut_line(handle: int) -> None:
    """Cut what follows the last line's end."""
    end = os.fstat(handle).st_size
    at = end
    while at > 0:
        start = max(0, at - _BLOCK)
        line_end = os.pread(handle, at - start, start).rfind(b"\n")
        if line_end >= 0:
            at = start + line_end + 1
            break
        at = start
    if at < end:
        os.ftruncate(handle, at)
        _sync(handle)
