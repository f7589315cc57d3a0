"""Plots of results.json as SVG: white ground, colours that colour-blind readers tell apart.

The same results give the same files: no date, and ids by a fixed salt.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from benchmarks import one_shot, per_call

__all__ = ["PLOTS", "draw"]

Results = Mapping[str, Any]

# Okabe and Ito's
BLUE, ORANGE, GREEN, PURPLE, GREY = "#0072B2", "#E69F00", "#009E73", "#CC79A7", "#666666"
COLOURS = (BLUE, ORANGE, GREEN, PURPLE, GREY)
MARKERS = "osD^v"


def _bars(
    axes: Any, rows: Mapping[str, tuple[float, float, float]], text: str, scale: str = "log"
) -> None:
    """Draw one bar for each row, (value, low, high), adapter's in its own colour."""
    labels = list(rows)[::-1]
    values = [rows[label][0] for label in labels]
    errors = [
        [max(0.0, rows[label][0] - rows[label][1]) for label in labels],
        [max(0.0, rows[label][2] - rows[label][0]) for label in labels],
    ]
    colours = [BLUE if "adapter" in label else GREY for label in labels]
    axes.barh(labels, values, xerr=errors, color=colours, ecolor="black", capsize=2, height=0.7)
    axes.set_xlabel(text)
    axes.set_xscale(scale)
    if scale == "log":
        axes.set_xlim(left=10 ** math.floor(math.log10(min(values))))
    axes.xaxis.set_major_formatter("{x:g}")


def _quartiles(found: Results, scale: float = 1.0) -> tuple[float, float, float]:
    return found["median"] * scale, found["q1"] * scale, found["q3"] * scale


def _lines(axes: Any, lines: Mapping[str, Results], x: str, y: str, what: str = "median") -> None:
    for (label, points), colour, marker in zip(lines.items(), COLOURS, MARKERS, strict=False):
        values = [p[what] for p in points.values()]
        axes.plot([int(n) for n in points], values, color=colour, marker=marker, label=label)
    axes.set(xscale="log", yscale="log", xlabel=x, ylabel=y)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter("{x:g}")
        axis.set_minor_formatter("")
    axes.grid(visible=True, color="#dddddd")
    axes.legend(frameon=False)


def _start_up(results: Results, figure: Any) -> None:
    rows = results["start_up"]["rows"]
    found = {label: _quartiles(r["wall"], 1e3) for label, r in rows.items()}
    axes = figure.subplots()
    _bars(axes, found, "ms from start to exit")


def _one_shot(results: Results, figure: Any) -> None:
    sides = figure.subplots(1, 2, sharey=True)
    for axes, delay in zip(sides, one_shot.DELAYS, strict=True):
        rows = results["one_shot"]["delays"][str(delay)]
        _bars(axes, {x: _quartiles(r["first"]) for x, r in rows.items()}, "s to the first token")
        axes.set_title(f"server: first token after {delay} ms")


def _memory(results: Results, figure: Any) -> None:
    rows = {label: _quartiles(r["mb"]) for label, r in results["memory"].items()}
    _bars(figure.subplots(), rows, "MB: at most, or held when idle", "linear")


def _per_call(results: Results, figure: Any) -> None:
    calls = results["per_call"]["calls"]
    axes = figure.subplots()
    shown = (
        "adapter.completion",
        per_call.AGAIN,
        "adapter.completion, hosted_vllm",
        "OpenAI SDK",
        "httpx",
    )
    for place, (label, colour) in enumerate(zip(shown, COLOURS, strict=True)):
        there = [
            (row, rows[label]["cpu"]) for row, rows in enumerate(calls.values()) if label in rows
        ]
        found = [r for _, r in there]
        at = [row + (place - 2) * 0.14 for row, _ in there]
        values = [r["ratio"] for r in found]
        errors = [[max(0.0, r["ratio"] - r["low"]) for r in found]]
        errors.append([max(0.0, r["high"] - r["ratio"]) for r in found])
        axes.errorbar(
            values, at, xerr=errors, fmt=MARKERS[place], color=colour, label=label, capsize=2
        )
    axes.axvline(1, color="black", linewidth=0.8)
    axes.set_yticks(range(len(calls)), list(calls))
    axes.invert_yaxis()
    axes.set_xlim(left=0)
    axes.set_xlabel("CPU time of a call, litellm.completion = 1")
    axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))


def _throughput(results: Results, figure: Any) -> None:
    for axes, (where, title) in zip(
        figure.subplots(1, 2),
        (("in_process", "in one process"), ("gateways", "through a gateway")),
        strict=True,
    ):
        _lines(axes, results["throughput"][where], "in flight", "answers a second")
        axes.set_title(title)


def _batches(results: Results, figure: Any) -> None:
    rows = {label: _quartiles(r) for label, r in results["batches"].items()}
    _bars(figure.subplots(), rows, "lines a second")


def _growth(results: Results, figure: Any) -> None:
    found = results["growth"]
    names = {"load": "load", "list": "adapter providers list", "resolve": "resolve"}
    names["translate"] = "translate"
    lines = {name: {n: r[what] for n, r in found.items()} for what, name in names.items()}
    _lines(figure.subplots(), lines, "configured providers", "seconds")


def _importing(results: Results, figure: Any) -> None:
    found = results["importing"]
    labels = next(iter(found.values()))
    lines = {label: {n: r[label] for n, r in found.items()} for label in labels}
    _lines(figure.subplots(), lines, "entries of config.yaml", "seconds")


PLOTS: Mapping[str, tuple[Callable[[Results, Any], None], Sequence[float]]] = {
    "start_up": (_start_up, (7, 5)),
    "one_shot": (_one_shot, (8, 3)),
    "memory": (_memory, (7, 3.2)),
    "per_call": (_per_call, (8, 3.2)),
    "throughput": (_throughput, (8, 3.6)),
    "batches": (_batches, (7, 2.6)),
    "growth": (_growth, (6, 3.4)),
    "importing": (_importing, (6, 3)),
}
"""Name -> how it is drawn, and its width and height in inches."""


def draw(results: Results, folder: Path) -> None:
    """Write every plot into ``folder``."""
    # by name: mypy runs where only the tests' requirements are installed
    matplotlib: Any = import_module("matplotlib")
    figures: Any = import_module("matplotlib.figure")
    matplotlib.rcParams.update(
        {
            "svg.hashsalt": "adapter",
            "svg.fonttype": "none",
            "font.size": 9,
            "axes.spines.top": False,
            "axes.spines.right": False,
        }
    )
    folder.mkdir(exist_ok=True)
    for name, (drawn, size) in PLOTS.items():
        figure = figures.Figure(figsize=(size[0], size[1]), layout="constrained", facecolor="white")
        drawn(results, figure)
        figure.savefig(folder / f"{name}.svg", metadata={"Date": None})
