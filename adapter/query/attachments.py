"""Files and URLs that go with a prompt, as the parts of an OpenAI chat message.

Images and PDF files become data URLs (RFC 2397), text files become text with their name. Nothing
is downloaded: the URL of an image is passed on, and the provider fetches it.
"""

from __future__ import annotations

import os
import sys
from base64 import b64encode
from contextlib import suppress
from typing import Any

from adapter._files import read_regular, reason
from adapter._text import printable
from adapter.errors import ConfigError

__all__ = ["MAX_BYTES", "message_content", "text_of"]

MAX_BYTES = 20 * 1024 * 1024
"""Of one attachment; providers take no more."""

_MAGIC = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"%PDF-", "application/pdf"),
)


def message_content(prompt: str, attachments: tuple[str, ...]) -> list[dict[str, Any]]:
    """Return the content of the user's message: the prompt, then what is attached.

    ``-`` stands for stdin. Raises :class:`ConfigError` (exit 2) for what cannot be attached.
    """
    if attachments.count("-") > 1:
        raise ConfigError("--attach -: stdin can be attached only once")
    parts = [_part(name) for name in attachments]
    return [*([{"type": "text", "text": prompt}] if prompt else []), *parts]


def _part(name: str) -> dict[str, Any]:
    if name.startswith(("http://", "https://")):
        return {"type": "image_url", "image_url": {"url": name}}
    data = _read_stdin() if name == "-" else _read(name)
    # a name that is not valid UTF-8 holds surrogates, which no request can carry
    label = "stdin" if name == "-" else printable(os.path.basename(name))
    name = printable(name)
    if not data:
        raise ConfigError(f"--attach {name}: it is empty")
    if len(data) > MAX_BYTES:
        raise ConfigError(f"--attach {name}: larger than {MAX_BYTES:,} bytes")
    kind = _kind(data)
    if kind is None:
        return {"type": "text", "text": f"{label}:\n\n{_text(name, data)}"}
    url = f"data:{kind};base64,{b64encode(data).decode()}"
    if kind == "application/pdf":
        return {"type": "file", "file": {"filename": label, "file_data": url}}
    return {"type": "image_url", "image_url": {"url": url}}


def _read_stdin() -> bytes:
    if sys.stdin is None:  # closed by whoever started this process
        raise ConfigError("--attach -: there is no stdin")
    return sys.stdin.buffer.read(MAX_BYTES + 1)


def _read(name: str) -> bytes:
    path = os.path.expanduser(name)
    try:
        return read_regular(path, MAX_BYTES)[0]
    except (OSError, ValueError) as error:
        raise ConfigError(f"--attach {printable(name)}: {reason(error)}") from None


def _kind(data: bytes) -> str | None:
    """Return the MIME type by the first bytes, ``None`` for what may be text."""
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp"
    return next((kind for magic, kind in _MAGIC if data.startswith(magic)), None)


def _text(name: str, data: bytes) -> str:
    kinds = "neither of the kinds that are known: PNG, JPEG, GIF, WebP, PDF or UTF-8 text"
    return text_of(data, f"--attach {name}: {kinds}")


def text_of(data: bytes, fault: str) -> str:
    """Return ``data`` as text, without a byte order mark.

    Raises :class:`ConfigError` that says ``fault``, and how to convert text in another encoding.
    """
    with suppress(UnicodeDecodeError):
        if "\0" not in (text := data.decode("utf-8-sig")):
            return text
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        encoding = "UTF-16"
    elif b"\0" not in data:
        encoding = "LATIN1"
    elif b"\0" in data[:2] and data.isascii():
        encoding = "UTF-16BE" if data[0] == 0 else "UTF-16LE"
    else:
        raise ConfigError(fault)
    raise ConfigError(
        f"{fault}\n  is it {encoding}? Then pipe it through: iconv -f {encoding} -t UTF-8"
    )
