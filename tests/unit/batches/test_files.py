"""The journal and the files of results: what a crash leaves is cut, what is not ours stays."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from adapter.batches.files import Files, Record, WriteError, errors_path
from adapter.errors import AdapterError, ConfigError

LINES = [b'{"custom_id": "a"}\n', b'{"custom_id": "b", "x": "\xc3\xbc"}\n']


@contextmanager
def opened(errors: str = "errors") -> Iterator[Files]:
    files = Files("out", errors)
    try:
        files.open()
        yield files
    finally:
        files.close()


def test_the_errors_stand_beside_the_output() -> None:
    assert errors_path("a/out.jsonl") == "a/out.errors.jsonl"
    assert errors_path("out") == "out.errors"


@pytest.mark.parametrize("errors", ["errors", "folder"])
def test_a_folder_is_no_file_and_nothing_is_left_beside_it(errors: str) -> None:
    Path("out" if errors == "errors" else "folder").mkdir()

    with pytest.raises(ConfigError, match="is a folder: name a file"), opened(errors):
        pass
    assert len(os.listdir()) == 1


def test_a_torn_last_line_is_cut_wherever_it_is_torn() -> None:
    whole = b"".join(LINES)
    with opened() as files:
        files.append({files.output: whole})
    for end in range(len(whole) + 1):
        Path("out").write_bytes(whole[:end])
        with opened() as files:
            kept = Path("out").read_bytes()
            assert list(files.custom_ids(files.output)) == ["a", "b"][: kept.count(b"\n")]
        assert kept in (b"", LINES[0], whole)
        assert len(whole[:end]) - len(kept) < len(LINES[1])


def test_a_torn_record_is_cut_wherever_it_is_torn() -> None:
    records = [Record(n, n + 1, time.time(), n, 1) for n in range(3)]
    with opened() as files:
        assert list(files.records()) == []
        files.append({files.journal: b"".join(record.pack() for record in records)})
    whole = Path("out.journal").read_bytes()
    size = len(records[0].pack())
    for lost in range(1, 2 * size):
        Path("out.journal").write_bytes(whole[:-lost])
        with opened() as files:
            assert list(files.records()) == records[: 3 - -(-lost // size)]
    Path("out.journal").write_bytes(whole[:-1] + b"\0")  # a block that never reached the disk
    with opened() as files:
        assert list(files.records()) == records[:2]


def test_two_runs_do_not_write_at_once() -> None:
    with opened(), pytest.raises(AdapterError, match="another run is writing"), opened():
        pass
    with opened():
        pass


@pytest.mark.parametrize("name", ["out", "errors"])
def test_a_file_of_somebody_elses_is_left_alone(name: str) -> None:
    Path(name).write_bytes(b"precious")

    with (
        pytest.raises(ConfigError, match="already exists and does not belong to a batch"),
        opened(),
    ):
        pass
    assert Path(name).read_bytes() == b"precious"


def test_a_journal_of_somebody_elses_is_left_alone() -> None:
    Path("out.journal").write_bytes(b"precious\n")

    with pytest.raises(ConfigError, match="is not the journal of a batch"), opened():
        pass
    assert Path("out.journal").read_bytes() == b"precious\n"


def test_a_run_goes_on_with_its_own_errors_file() -> None:
    with opened():
        pass
    with pytest.raises(ConfigError, match="begun with --errors errors"), opened("others"):
        pass


def test_a_line_that_was_changed_is_told() -> None:
    with opened() as files:
        files.append({files.output: LINES[0] + b"{}\n"})
        with pytest.raises(ConfigError, match="out:2: not a line of a batch"):
            list(files.custom_ids(files.output))


@pytest.mark.parametrize("goes", ["file", "folder"])
def test_what_goes_away_is_a_clear_end(goes: str) -> None:
    os.mkdir("f")
    files = Files("f/out", "f/errors")
    files.open()
    files.append({files.output: LINES[0]})
    if goes == "file":
        os.replace("f/out", "f/elsewhere")
    else:
        os.rename("f", "g")

    with pytest.raises(WriteError, match="f/out cannot be written"):
        files.append({files.output: LINES[1]})
    files.close()


def test_a_fifo_is_no_output() -> None:
    os.mkfifo("out")

    with pytest.raises(ConfigError, match="not a regular file"), opened():
        pass
