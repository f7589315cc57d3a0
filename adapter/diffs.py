"""Unified diffs of TOML files that show no key."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import tomli

from adapter.keys import MASK, holds_secret

__all__ = ["masked_diff"]

_NO_SECRETS = ("api_key_env", "name", "default_model")


def masked_diff(old: str, new: str, name: str) -> str:
    """Return the unified diff of two TOML texts, ``""`` for none, with ``***`` for each secret.

    A secret is a string under a name like ``api_key`` or ``Authorization``, any value of
    ``[env]``, and a URL with a password.
    """
    secrets = {s for text in (old, new) for s in _secrets(tomli.loads(text))}
    pieces = {line for s in secrets for line in (*s.splitlines(), json.dumps(s)[1:-1]) if line}
    ordered = sorted(pieces, key=len, reverse=True)
    lines = difflib.unified_diff(
        old.splitlines(keepends=True), new.splitlines(keepends=True), fromfile=name, tofile=name
    )
    return "".join(_masked(line, ordered) for line in lines)


def _masked(line: str, secrets: list[str]) -> str:
    sign, text = line[0], line[1:]
    if not text.endswith("\n"):
        text += "\n"
    if line.startswith(("---", "+++", "@@")):
        return sign + text
    for secret in secrets:
        # a short one only as a whole value: the letter "a" is everywhere
        if len(secret) > 7:
            text = text.replace(secret, MASK)
        else:
            text = re.sub(rf"""(["']){re.escape(secret)}\1""", rf"\g<1>{MASK}\1", text)
    return sign + text


def _secrets(value: Any, name: str = "", inside: bool = False) -> Iterator[str]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _secrets(item, key, inside or (name == "" and key == "env"))
    elif isinstance(value, list):
        for item in value:
            yield from _secrets(item, name or "-", inside)
    elif isinstance(value, str) and value and name not in _NO_SECRETS:
        yield from [value] if inside or holds_secret(name, value) else ()
