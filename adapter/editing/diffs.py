"""Unified diffs of TOML files that show no key."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from typing import Any

import tomli
import tomlkit

from adapter._tables import leaves
from adapter.secrets.policy import is_secret
from adapter.secrets.scrubber import SHORTEST, Scrubber
from adapter.secrets.secret import MASK

__all__ = ["masked_diff"]

_ASSIGNMENT = re.compile(r"""([\w-]+)(["']?\s*=\s*)(["'])(.*?)(\3)""")

_NO_SECRETS = ("api_key_env", "name", "default_model")
_PROVIDERS = ("plugin", "litellm", "providers")


def masked_diff(old: str, new: str, name: str) -> str:
    """Return the unified diff of two TOML texts, ``""`` for none, with ``***`` for each secret.

    A secret is what :func:`adapter.secrets.policy.is_secret` says, and any value of ``[env]``.
    """
    secrets = {s for text in (old, new) for s in _secrets(tomli.loads(text))}
    pieces = {piece for secret in secrets for piece in _spellings(secret) if piece}
    short = sorted((p for p in pieces if len(p) < SHORTEST), key=len, reverse=True)
    scrubber = Scrubber(pieces)
    lines = difflib.unified_diff(
        old.splitlines(keepends=True), new.splitlines(keepends=True), fromfile=name, tofile=name
    )
    return "".join(_masked(line, scrubber, short) for line in lines)


def _spellings(secret: str) -> Iterator[str]:
    """Yield the ways a string may stand in a TOML file: as it is, line by line, or escaped."""
    yield from secret.splitlines()
    yield tomlkit.string(secret).as_string()[1:-1]


def _masked(line: str, scrubber: Scrubber, short: list[str]) -> str:
    sign, text = line[0], line[1:]
    if not text.endswith("\n"):
        text += "\n"
    if line.startswith(("---", "+++", "@@")):
        return sign + text
    # what is commented out is not parsed, but may be a key all the same
    text = _ASSIGNMENT.sub(_hide, text) if "#" in text else text
    text = scrubber.text(text)
    for secret in short:  # only as a whole value: the letter "a" is everywhere
        text = re.sub(rf"""(["']){re.escape(secret)}\1""", rf"\g<1>{MASK}\1", text)
    return sign + text


def _hide(assignment: re.Match[str]) -> str:
    name, equals, quote, value, _ = assignment.groups()
    if name in _NO_SECRETS or not is_secret((name,), value):
        return assignment[0]
    return f"{name}{equals}{quote}{MASK}{quote}"


def _secrets(document: Mapping[str, Any]) -> Iterator[str]:
    for at, value in leaves(document):
        # what a provider is called says nothing about its settings
        path = ("provider", *at[4:]) if at[:3] == _PROVIDERS else at
        if isinstance(value, str) and value and path[-1] not in _NO_SECRETS:
            yield from [value] if path[0] == "env" or is_secret(path, value) else ()
