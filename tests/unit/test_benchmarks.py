"""The benchmarks as programs: what they wrote is what the docs say, and each can be started."""

from __future__ import annotations

import json
import re
from importlib import import_module
from pathlib import Path

import pytest

from benchmarks import report, run
from benchmarks.measuring import ratio, summary
from benchmarks.tables import span, tables
from tests.command import ROOT

PAGE = report.PAGE.read_text(encoding="utf-8")


def test_the_page_says_what_was_measured() -> None:
    assert report.fill(PAGE, tables(report.read())) == PAGE


def test_every_place_of_the_page_is_filled() -> None:
    places = re.findall(r"<!-- start: (\w+) -->", PAGE)

    assert sorted(places) == sorted(tables(report.read()))


def test_a_page_without_a_place_is_refused() -> None:
    with pytest.raises(SystemExit, match="0 places for machine"):
        report.fill("", {"machine": "x"})


def test_every_benchmark_has_its_part_and_every_plot_its_file() -> None:
    results = json.loads(report.RESULTS.read_text(encoding="utf-8"))
    shown = re.findall(r"\]\((assets/\w+\.svg)\)", PAGE)

    assert set(results) == {"machine", *run.BENCHMARKS}
    assert sorted(shown) == sorted(f"assets/{name}.svg" for name in run.BENCHMARKS)
    assert all((ROOT / "docs" / name).is_file() for name in shown)


def test_plots_name_no_date_and_no_machine() -> None:
    for path in report.ASSETS.glob("*.svg"):
        text = path.read_text(encoding="utf-8")
        assert "<dc:date>" not in text
        assert str(Path.home()) not in text


@pytest.mark.parametrize("name", run.BENCHMARKS)
def test_each_benchmark_says_what_it_measures(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    module = import_module(f"benchmarks.{name}")
    monkeypatch.setattr("sys.argv", [name, "--help"])

    with pytest.raises(SystemExit) as ended:
        module.measuring.main(module.__doc__, module.measure)

    assert ended.value.code == 0
    assert str(module.__doc__).partition("\n")[0] in " ".join(capsys.readouterr().out.split())


def test_only_known_benchmarks_are_run(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        run.main(["--only", "nothing"])

    assert ended.value.code == 2
    assert "nothing" in capsys.readouterr().err


def test_statistics() -> None:
    assert summary([3.0, 1.0, 2.0, 5.0, 4.0]) == {"median": 3.0, "q1": 2.0, "q3": 4.0, "n": 5}
    assert summary([7.0]) == {"median": 7.0, "q1": 7.0, "q3": 7.0, "n": 1}

    # twice as much in each round: no spread in the ratio, however much the rounds differ
    base = [1.0, 9.0, 4.0, 2.0, 7.0]
    assert ratio([2 * value for value in base], base) == {"ratio": 2.0, "low": 2.0, "high": 2.0}
    found = ratio([1.0, 2.0, 3.0, 4.0, 50.0], base)
    assert found["low"] < found["ratio"] < found["high"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (12.345, "12.3 s"),
        (1.0, "1.00 s"),
        (0.0523, "52.3 ms"),
        (0.523, "523 ms"),
        (2.5e-6, "2.50 µs"),
        (4e-7, "0.40 µs"),
        (-0.0012, "-1.20 ms"),
    ],
)
def test_times_have_three_digits(seconds: float, text: str) -> None:
    assert span(seconds) == text
