"""tests/data/bodies, case by case: in Python and as the command, streamed and not.

The gateway's turn is in tests/live/test_faults.py, beside the rows of docs/reliability.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import adapter
from tests.bodies import BODIES, PYTHON, STREAM, Seen, bodies_server, seen_in
from tests.command import provider, run
from tests.recorder import Recorder

KEY = "sk-the-providers-own-key"
RUNS = [
    pytest.param(name, mode, given, id="-".join([name, mode, *given.get("flags", ())[:1]]))
    for name, body in BODIES.items()
    for mode, given in body.runs()
]


@pytest.fixture(scope="module")
def bodies() -> Iterator[Recorder]:
    with bodies_server() as recorder:
        yield recorder


@pytest.fixture(autouse=True)
def configured(write: Callable[..., Path], bodies: Recorder) -> None:
    write(provider(bodies.base_url, api_key=KEY))


@pytest.mark.parametrize(("name", "mode"), PYTHON)
def test_in_python(name: str, mode: str) -> None:
    wanted = BODIES[name].python(mode)
    got: list[dict[str, Any]] = []
    error, status = "", None
    messages = [{"role": "user", "content": "hi"}]
    try:
        result = adapter.completion(f"p/{name}", messages, stream=mode == STREAM, max_retries=0)
        for part in result if mode == STREAM else [result]:
            got.append(part.model_dump(exclude_none=True))  # noqa: PERF401 - kept before an error
    except Exception as raised:  # noqa: BLE001 - it is what the test looks at
        error, status = type(raised).__name__, getattr(raised, "status_code", None)
    assert seen_in(got)._replace(error=error, status=status) == wanted


@pytest.mark.parametrize(("name", "mode", "given"), RUNS)
def test_as_the_command(name: str, mode: str, given: dict[str, Any]) -> None:
    flag = "--stream" if mode == STREAM else "--no-stream"

    code, out, err = run("-m", f"p/{name}", flag, *given.get("flags", ()), "hi")

    wanted = given.get("out", "").removeprefix("\n")
    assert (code, out) == (given.get("code", 0), f"{wanted}\n" if wanted else ""), err
    assert all(words in err for words in given.get("err", ()))
    assert bool(err) is bool(given.get("err"))
    assert "Traceback" not in err
    assert KEY not in err


def test_every_case_says_something() -> None:
    assert len({body.data["says"] for body in BODIES.values()}) == len(BODIES) > 30
    assert all(body.modes for body in BODIES.values())
    assert Seen() == seen_in([])
