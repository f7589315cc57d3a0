"""What an input may look like, and what is wrong with a line."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path
from typing import Any

import pytest

from adapter.batches.formats import InputError, Recipe, Source
from adapter.errors import ConfigError

CHAT: dict[str, Any] = {"model": "p/m", "messages": []}
LINE: dict[str, Any] = {
    "custom_id": "a",
    "method": "POST",
    "url": "/v1/chat/completions",
    "body": CHAT,
}


def request(line: Any, recipe: Recipe | None = None) -> Any:
    return (recipe or Recipe()).request(
        1, line if isinstance(line, bytes) else json.dumps(line).encode()
    )


def records(path: str | Path, *, plain: bool = False) -> list[tuple[int, Any]]:
    source = Source(str(path), ".", plain=plain)
    try:
        return list(source.records())
    finally:
        source.close()


WRONG: list[tuple[Any, str]] = [
    (b"{\n", "the line is not JSON: Expecting .* at column 2$"),
    (b'{"custom_id": NaN}', "NaN is not a JSON value"),
    (b"[" * 100_000, "the line is not JSON"),
    (b'{"custom_id": "\xff"}', "the line is not JSON"),
    (json.dumps(LINE).encode("utf-16"), "the line is not JSON: 'utf-8'"),
    (b'{"custom_id": "\xed\xa0\x80"}', "the line is not JSON: 'utf-8'"),
    ([1], "the line is not a JSON object"),
    ({**LINE, "custom_id": ""}, "custom_id is missing"),
    ({**LINE, "custom_id": 7}, "custom_id is missing"),
    ({**LINE, "method": "GET"}, "method is not POST"),
    ({**LINE, "url": "/v1/images"}, "unknown url '/v1/images'"),
    ({**LINE, "body": "x"}, "body is not a JSON object"),
    ({**LINE, "body": {**CHAT, "stream": True}}, "stream is not supported in a batch"),
    ({**LINE, "body": {"messages": []}}, "the body names no model"),
    ({**LINE, "body": {"model": "p/m"}}, "the body has no messages"),
    *(
        ({**LINE, "body": {**CHAT, name: "x"}}, f"{name} is not allowed in a body")
        for name in ("api_key", "api_base", "base_url", "extra_headers", "custom_llm_provider")
    ),
]


@pytest.mark.parametrize(("line", "message"), WRONG, ids=lambda value: str(value)[:40])
def test_what_is_wrong_with_a_line_is_told(line: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        request(line)


def test_the_command_fills_in_what_a_line_lacks_and_no_more() -> None:
    recipe = Recipe(model="q/n", options={"temperature": 0, "seed": 1})

    assert request({**LINE, "body": {**CHAT, "seed": 2}}, recipe).body == {
        **CHAT,
        "seed": 2,
        "temperature": 0,
    }
    assert request({**LINE, "body": {"messages": []}}, recipe).body["model"] == "q/n"


def test_a_schema_is_asked_for_as_each_url_has_it() -> None:
    schema = {"type": "json_schema", "json_schema": {"name": "n", "schema": {}}}
    recipe = Recipe(schema=schema)

    assert request(LINE, recipe).body["response_format"] == schema
    response = {**LINE, "url": "/v1/responses", "body": {"model": "m", "input": "x"}}
    expected = {"format": {"type": "json_schema", "name": "n", "schema": {}}}
    assert request(response, recipe).body["text"] == expected


def test_a_prompt_is_filled_in_from_a_record() -> None:
    recipe = Recipe(model="p/m", prompt="Translate {text} {{now}}: {n}", system="Be {brief}")

    made = recipe.request(3, {"text": "a {b}", "n": [1]})

    assert made.body["messages"] == [
        {"role": "system", "content": "Be {brief}"},
        {"role": "user", "content": "Translate a {b} {now}: [1]"},
    ]
    assert made.custom_id == "row-3"
    assert recipe.request(3, {"text": "a", "n": 1, "custom_id": "x"}).custom_id == "x"
    with pytest.raises(InputError, match="the record has no field 'n'"):
        recipe.request(3, {"text": "a"})


@pytest.mark.parametrize("prompt", ["", "{", "{}", "{a!r}", "{a:>9}"])
def test_a_prompt_that_cannot_be_filled_in_is_refused(prompt: str) -> None:
    with pytest.raises(ConfigError, match="--prompt"):
        Recipe(prompt=prompt)


def test_a_prompt_reads_no_attribute() -> None:
    with pytest.raises(InputError, match=r"no field 'text\.__class__'"):
        Recipe(model="m", prompt="{text.__class__}").request(1, {"text": "a"})


def test_lines_have_their_numbers_in_the_file() -> None:
    Path("in.jsonl").write_bytes(b"\xef\xbb\xbf{}\n\n \r\n[]")

    assert records("in.jsonl") == [(1, b"{}\n"), (4, b"[]")]


@pytest.mark.parametrize("name", ["in.csv", "in.csv.gz"])
def test_a_csv_file_has_a_record_a_row(name: str) -> None:
    data = 'text,n\r\n"a\nb",1\r\nü,2\r\n'.encode("utf-8-sig")
    Path(name).write_bytes(gzip.compress(data) if name.endswith("gz") else data)

    expected = [(1, {"text": "a\nb", "n": "1"}), (2, {"text": "ü", "n": "2"})]
    assert records(name, plain=True) == expected
    with pytest.raises(ConfigError, match="need --prompt"):
        records(name)


def test_a_parquet_file_has_a_record_a_row() -> None:
    pytest.importorskip("pyarrow")
    import pyarrow
    import pyarrow.parquet

    pyarrow.parquet.write_table(pyarrow.table({"text": ["a", "b"], "n": [1, 2]}), "in.parquet")

    expected = [(1, {"text": "a", "n": 1}), (2, {"text": "b", "n": 2})]
    assert records("in.parquet", plain=True) == expected


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("in.jsonl", gzip.compress(b"{}\n" * 9, mtime=0)[:-9], "the file cannot be read"),
        ("in.csv", b"text\n\xff\n", "the file cannot be read"),
        ("in.csv", b'text\n"a\n', "the file cannot be read"),
    ],
)
def test_a_file_that_cannot_be_read_on_says_where(name: str, data: bytes, message: str) -> None:
    Path(name).write_bytes(data)

    with pytest.raises(InputError, match=message) as raised:
        records(name, plain=True)
    assert raised.value.number is not None


def test_a_pipe_is_read_as_often_as_a_file() -> None:
    reader, writer = os.pipe()
    os.write(writer, b"{}\n[]\n")
    os.close(writer)
    source = Source(f"/dev/fd/{reader}", ".", plain=False)
    os.close(reader)

    assert list(source.records()) == list(source.records()) == [(1, b"{}\n"), (2, b"[]\n")]
    assert os.listdir(".") == []
    source.close()


def test_a_file_that_is_replaced_meanwhile_is_read_on() -> None:
    Path("in.jsonl").write_bytes(b"{}\n")
    source = Source("in.jsonl", ".", plain=False)
    Path("new").write_bytes(b"[]\n")
    os.replace("new", "in.jsonl")

    assert list(source.records()) == [(1, b"{}\n")]
    source.close()
