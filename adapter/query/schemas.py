"""Answers that follow a JSON schema: what to ask for, and whether the answer holds it."""

from __future__ import annotations

import json
import os
import re
from io import TextIOWrapper
from typing import Any, NoReturn

from adapter._files import open_regular, reason
from adapter._text import printable
from adapter.errors import ConfigError

__all__ = ["load_schema", "response_format", "violation"]

MAX_CHARACTERS = 4 * 1024 * 1024
"""Of a schema; no server takes one that comes near."""

LONGEST_REASON = 300
"""In characters; jsonschema's messages repeat the value, which may be the whole answer."""

_SCHEMAS = frozenset({"items", "additionalProperties"})
_LISTS_OF_SCHEMAS = frozenset({"anyOf"})
_TABLES_OF_SCHEMAS = frozenset({"properties", "$defs", "definitions"})
_STRICT_KEYWORDS = (
    _SCHEMAS
    | _LISTS_OF_SCHEMAS
    | _TABLES_OF_SCHEMAS
    | {"$ref", "const", "description", "enum", "exclusiveMaximum", "exclusiveMinimum", "format"}
    | {"maxItems", "maximum", "minItems", "minimum", "multipleOf", "pattern", "required"}
    | {"title", "type"}
)
_STRICT_FORMATS = frozenset(
    {"date", "date-time", "duration", "email", "hostname", "ipv4", "ipv6", "time", "uuid"}
)


_TYPES = {None: "string", "str": "string", "int": "integer", "float": "number", "bool": "boolean"}
"""The types of a short form, and JSON schema's names for them."""

_FIELD = re.compile(r"\s*(?P<name>[^\s:]+)(?:[ \t]+(?P<kind>[^\s:]+))?\s*(?::(?P<description>.*))?")


def load_schema(source: str, *, several: bool = False) -> dict[str, Any]:
    """Return the schema in a file, or written out as JSON or in llm's short form.

    ``several`` asks for any number of such values, as the list ``items`` of an object. Raises
    :class:`ConfigError` (exit 2).
    """
    where, text = f"--schema {printable(source.strip())}", source
    if source.lstrip().startswith("{"):
        where = "--schema"
    elif os.path.exists(os.path.expanduser(source)) or not set(source) & set(" ,:\n"):
        text = _read(source, where)
    else:
        text = json.dumps(_short_form(source, where))
    try:
        schema = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{where}: not valid JSON: {error}") from None
    if not isinstance(schema, dict):
        raise ConfigError(f"{where}: a JSON schema is an object, like {{'type': 'object'}}")
    whole = _object({"items": {"type": "array", "items": schema}}) if several else dict(schema)
    from jsonschema import SchemaError
    from jsonschema.validators import validator_for

    try:
        validator_for(whole).check_schema(whole)
    except SchemaError as error:
        raise ConfigError(f"{where}: not a JSON schema: {_short(error.message)}") from None
    except RecursionError:
        raise ConfigError(f"{where}: nested too deeply: simplify it") from None
    _check_references(whole, where)
    return whole


def _short_form(text: str, where: str) -> dict[str, Any]:
    """Return the schema of a short form, such as ``"name, age int: in years"``.

    The fields are separated by commas, or stand on lines, with commas in their descriptions then
    (llm, "Concise LLM schema syntax"). The object has no other fields, as strict servers want it.
    """
    fields: dict[str, Any] = {}
    for part in filter(str.strip, text.split("\n" if "\n" in text.strip() else ",")):
        field = _FIELD.fullmatch(part)
        if field is None or field["kind"] not in _TYPES:
            raise ConfigError(
                f"{where}: neither a file nor a list of fields: {printable(part.strip())!r} is not "
                "a field; write NAME or NAME TYPE (str, int, float, bool), then : DESCRIPTION"
            )
        description = {"description": d} if (d := (field["description"] or "").strip()) else {}
        fields[field["name"]] = {"type": _TYPES[field["kind"]], **description}
    return _object(fields)


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _read(source: str, where: str) -> str:
    path = os.path.expanduser(source)
    try:
        with open_regular(path) as file:
            text = TextIOWrapper(file, encoding="utf-8-sig").read(MAX_CHARACTERS + 1)
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"{where}: {reason(error)} (a file, or a schema in JSON or as 'name, age int')"
        ) from None
    if len(text) > MAX_CHARACTERS:
        raise ConfigError(f"{where}: longer than {MAX_CHARACTERS:,} characters")
    return text


def _check_references(schema: dict[str, Any], where: str) -> None:
    """Raise :class:`ConfigError` for a ``$ref`` to what is not in the schema, before it is sent.

    A schema with an ``$id`` inside has several roots, so there the answer's check tells.
    """
    from referencing import Registry, Resource
    from referencing.exceptions import Unresolvable
    from referencing.jsonschema import DRAFT202012

    schemas = [Resource.from_contents(schema, default_specification=DRAFT202012)]
    for one in schemas:
        schemas += one.subresources()
    if any(one.id() for one in schemas):
        return
    resolver = Registry().with_resource("", schemas[0]).resolver("")
    for one in schemas:
        reference = one.contents.get("$ref", "") if isinstance(one.contents, dict) else ""
        try:
            resolver.lookup(reference)
        except Unresolvable:
            raise ConfigError(f"{where}: {_short(reference)} is not in the schema") from None


def response_format(schema: dict[str, Any]) -> dict[str, Any]:
    """Return OpenAI's ``response_format`` for a schema; strict where OpenAI allows that.

    Strict servers generate nothing else. They refuse a schema that is not within their rules, so
    such a schema is sent as a wish, and the answer's check decides.
    """
    title = str(schema.get("title", ""))
    name = "".join(c if c.isascii() and (c.isalnum() or c in "_-") else "_" for c in title)[:64]
    schema_format: dict[str, Any] = {"name": name or "answer", "schema": schema}
    if schema.get("type") == "object" and _may_be_strict(schema):
        schema_format["strict"] = True
    return {"type": "json_schema", "json_schema": schema_format}


def _may_be_strict(schema: Any) -> bool:
    """Return whether OpenAI's rules for Structured Outputs allow this schema ("supported schemas").

    Each object is closed and requires all its properties; only the listed keywords are used.
    """
    if not isinstance(schema, dict) or not schema.keys() <= _STRICT_KEYWORDS:
        return False
    if schema.get("format", "date") not in _STRICT_FORMATS:
        return False
    kind = schema.get("type")
    if kind == "object" or (isinstance(kind, list) and "object" in kind) or "properties" in schema:
        properties = schema.get("properties", {})
        if schema.get("additionalProperties") is not False:
            return False
        if set(schema.get("required", ())) != set(properties):
            return False
    inner = [schema[name] for name in _SCHEMAS & schema.keys() if schema[name] is not False]
    for name in _LISTS_OF_SCHEMAS & schema.keys():
        inner += schema[name]
    for name in _TABLES_OF_SCHEMAS & schema.keys():
        inner += schema[name].values()
    return all(_may_be_strict(one) for one in inner)


def violation(schema: dict[str, Any], answer: str) -> str | None:
    """Return why ``answer`` does not hold ``schema``, with the place in it; ``None`` if it does."""
    try:
        value = json.loads(answer, parse_constant=_not_json)
    except (ValueError, RecursionError) as error:
        return f"the answer is not JSON: {error}"
    from jsonschema.validators import validator_for
    from referencing import Registry
    from referencing.exceptions import Unresolvable

    # with a registry of its own, jsonschema downloads nothing that a $ref names
    check = validator_for(schema)(schema, registry=Registry())
    try:
        wrong = next(check.iter_errors(value), None)
    except Unresolvable as error:
        raise ConfigError(f"--schema: {_short(str(error.ref))} is not in the schema") from None
    except RecursionError:
        return "the answer cannot be checked: it, or the schema, is nested too deeply"
    if wrong is None:
        return None
    place = _short(wrong.json_path)
    return f"the answer does not match the schema: {place}: {_short(wrong.message)}"


def _not_json(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON value")


def _short(text: str) -> str:
    text = printable(text)
    return text if len(text) <= LONGEST_REASON else text[:LONGEST_REASON] + "…"
