"""Known secrets are taken out of log records, whatever is recorded."""

from __future__ import annotations

import logging

import pytest

from adapter.secrets.errors import scrub_logs
from adapter.secrets.scrubber import register

SECRET = "canary-of-a-log-0123456789"
NAME = "a.library"

log = logging.getLogger(NAME)


@pytest.fixture(autouse=True)
def known() -> None:
    register(SECRET)
    scrub_logs([NAME])


def test_a_key_in_the_arguments_is_hidden(caplog: pytest.LogCaptureFixture) -> None:
    log.error("sent %s with %r", "it", {"Authorization": f"Bearer {SECRET}"})

    assert caplog.messages == ["sent it with {'Authorization': 'Bearer ***'}"]


def test_a_key_in_a_recorded_traceback_is_hidden(caplog: pytest.LogCaptureFixture) -> None:
    try:
        raise ValueError(f"refused: {SECRET}")
    except ValueError:
        log.exception("it failed")

    assert caplog.text.rstrip().endswith("ValueError: refused: ***")
    assert SECRET not in caplog.text


def test_a_record_without_a_key_stays_as_it_is(caplog: pytest.LogCaptureFixture) -> None:
    try:
        raise ValueError("refused")
    except ValueError:
        log.exception("it failed with %d", 500)

    (record,) = caplog.records
    assert (record.msg, record.args) == ("it failed with %d", (500,))
    assert "ValueError: refused" in caplog.text


def test_a_record_with_wrong_arguments_is_left_to_the_handler() -> None:
    record = log.makeRecord(NAME, logging.ERROR, __file__, 1, "%d of %d", ("one",), None)

    assert log.filter(record)
    assert record.args == ("one",)
