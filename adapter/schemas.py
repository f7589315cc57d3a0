"""Answers that follow a JSON schema: what to ask for, and whether the answer holds it."""

from __future__ import annotations

import json
import os
from typing import Any

from adapter.errors import ConfigError, printable

__all__ = ["load_schema", "response_format", "violation"]


def load_schema(given: str) -> dict[str, Any]:
    """Return the schema in a file, or written out as JSON. Raises :class:`ConfigError` (exit 2)."""
    text, where = given, "--schema"
    if not given.lstrip().startswith("{"):
        where = f"--schema {given}"
        try:
            with open(os.path.expanduser(given), encoding="utf-8-sig") as file:
                text = file.read(4 * 1024 * 1024)
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or str(error)
            raise ConfigError(f"{where}: {why} (a file, or a schema in JSON)") from None
    try:
        schema = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{where}: not valid JSON: {error}") from None
    if not isinstance(schema, dict):
        raise ConfigError(f"{where}: a JSON schema is an object, like {{'type': 'object'}}")
    from jsonschema import SchemaError
    from jsonschema.validators import validator_for

    try:
        validator_for(schema).check_schema(schema)
    except SchemaError as error:
        raise ConfigError(f"{where}: no JSON schema: {printable(error.message)}") from None
    return schema


def response_format(schema: dict[str, Any]) -> dict[str, Any]:
    """Return OpenAI's ``response_format`` for a schema."""
    title = str(schema.get("title", ""))
    name = "".join(c if c.isascii() and (c.isalnum() or c in "_-") else "_" for c in title)[:64]
    return {"type": "json_schema", "json_schema": {"name": name or "answer", "schema": schema}}


def violation(schema: dict[str, Any], answer: str) -> str | None:
    """Return why ``answer`` does not hold ``schema``, with the place in it; ``None`` if it does."""
    try:
        value = json.loads(answer)
    except (ValueError, RecursionError) as error:
        return f"the answer is not JSON: {error}"
    from jsonschema.validators import validator_for

    for wrong in validator_for(schema)(schema).iter_errors(value):
        return f"the answer does not hold the schema: {wrong.json_path}: {printable(wrong.message)}"
    return None
