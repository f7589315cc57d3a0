"""JSON schemas: what is sent, what is strict, and what an answer is told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from adapter.errors import ConfigError
from adapter.query.schemas import load_schema, response_format, violation
from tests.recorder import Recorder

CLOSED = {
    "type": "object",
    "properties": {"n": {"type": "integer"}},
    "required": ["n"],
    "additionalProperties": False,
}


def closed(**fields: Any) -> dict[str, Any]:
    return {**CLOSED, "properties": fields, "required": list(fields)}


def is_strict(schema: dict[str, Any]) -> bool:
    return response_format(schema)["json_schema"].get("strict") is True


NAME, AGE = {"name": {"type": "string"}}, {"age": {"type": "integer"}}


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ("name, age int", NAME | AGE),
        ("name str,age int,", NAME | AGE),
        ("age int, ok bool, x float", {**AGE, "ok": {"type": "boolean"}, "x": {"type": "number"}}),
        (
            "name: the person's name",
            {"name": {"type": "string", "description": "the person's name"}},
        ),
        (
            "\nname\nage int: in years, not in days: 3\n",
            {**NAME, "age": {"type": "integer", "description": "in years, not in days: 3"}},
        ),
        ("name,", NAME),
    ],
)
def test_the_short_form_of_llm(text: str, fields: dict[str, Any]) -> None:
    schema = closed(**fields)
    assert load_schema(text) == schema
    assert is_strict(schema)
    items = {"type": "array", "items": schema}
    assert load_schema(text, several=True) == closed(items=items)


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("name text", "name text"),
        ("a, : b", ": b"),
        ("my file.json", "my file.json"),
        ("a int b", "a int b"),
    ],
)
def test_what_is_no_short_form(text: str, field: str) -> None:
    with pytest.raises(
        ConfigError, match=f"neither a file nor a list of fields: '{field}' is not a field"
    ):
        load_schema(text)


def test_a_file_comes_before_a_short_form(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("name, age").write_text(json.dumps(CLOSED))
    assert load_schema("name, age") == CLOSED


@pytest.mark.parametrize(
    "schema",
    [
        CLOSED,
        closed(a={"type": "array", "items": CLOSED}),
        closed(a={"anyOf": [{"type": "null"}, CLOSED]}),
        closed(a={"$ref": "#/$defs/x"}) | {"$defs": {"x": CLOSED}},
        closed(a={"type": ["string", "null"], "format": "date", "pattern": "^2"}),
        closed(),
    ],
)
def test_a_closed_schema_is_strict(schema: dict[str, Any]) -> None:
    assert is_strict(schema)


@pytest.mark.parametrize(
    "schema",
    [
        {},
        {"type": "array", "items": CLOSED},
        {"anyOf": [CLOSED]},
        {**CLOSED, "additionalProperties": True},
        {**CLOSED, "required": []},
        {"type": "object"},
        closed(a={"type": "object"}),
        closed(a={"type": ["object", "null"]}),
        closed(a={"properties": {"b": {}}}),
        closed(a={"type": "array", "items": {"type": "object"}}),
        closed(a={"anyOf": [{"type": "object"}]}),
        closed(a={"type": "string", "maxLength": 3}),
        closed(a={"type": "string", "format": "uri"}),
        closed(a=True),
        CLOSED | {"$defs": {"x": {"type": "object"}}},
        CLOSED | {"allOf": [CLOSED]},
    ],
)
def test_what_a_strict_server_refuses_is_a_wish(schema: dict[str, Any]) -> None:
    assert not is_strict(schema)
    assert response_format(schema)["json_schema"]["schema"] == schema


@pytest.mark.parametrize(
    "reference", ["#/$defs/none", "other.json", "http://127.0.0.1:1/schema.json", "#anchor"]
)
def test_a_reference_to_nothing_is_found_before_anything_is_sent(reference: str) -> None:
    schema = {"properties": {"a": {"anyOf": [{"$ref": reference}]}}}
    with pytest.raises(ConfigError, match="is not in the schema"):
        load_schema(json.dumps(schema))


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#"}}},
        {"properties": {"$ref": {"type": "string"}}},
        {"enum": [{"$ref": "#/none"}]},
        {"$defs": {"a": {"$anchor": "there"}}, "$ref": "#there"},
        {"$defs": {"a": {"$id": "http://x/a", "$ref": "b"}}},
    ],
)
def test_other_references_are_left_alone(schema: dict[str, Any]) -> None:
    assert load_schema(json.dumps(schema)) == schema


def test_what_a_reference_names_is_not_downloaded(server: Recorder) -> None:
    schema = {"$id": f"{server.base_url}/a", "$ref": "b.json"}
    with pytest.raises(ConfigError, match=r"b\.json is not in the schema"):
        violation(load_schema(json.dumps(schema)), "{}")
    assert not server.requests


def test_a_schema_without_end_is_no_traceback() -> None:
    assert "nested too deeply" in str(violation({"$ref": "#"}, "{}"))


@pytest.mark.parametrize("answer", ["NaN", "-Infinity", '{"n": Infinity}'])
def test_what_json_does_not_have_is_no_json(answer: str) -> None:
    assert "is not a JSON value" in str(violation({}, answer))


def test_the_reason_is_short_and_names_the_place() -> None:
    why = violation({"properties": {"a": {"items": {"type": "integer"}}}}, '{"a": [1, "%s"]}')
    assert str(why).startswith("the answer does not match the schema: $.a[1]: '%s' is not of type")
    long = violation({"type": "object"}, json.dumps("x" * 9999 + "\x1b[2J"))
    assert len(str(long)) < 400


def test_no_answer_drives_the_terminal() -> None:
    why = violation({"additionalProperties": {"type": "null"}}, json.dumps({"\x1b[2J": "\x9b1m"}))
    assert str(why).isprintable()


@pytest.mark.parametrize("answer", ['{"n": 1}', ' {"n": -3}\n'])
def test_an_answer_that_holds_it(answer: str) -> None:
    assert violation(CLOSED, answer) is None
