"""Tables of docs/performance.md, each made of one part of results.json."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from benchmarks import (
    batches,
    growth,
    importing,
    memory,
    one_shot,
    per_call,
    start_up,
    throughput,
)

__all__ = ["tables"]

Results = Mapping[str, Any]


def tables(results: Results) -> dict[str, str]:
    """Return each table, and each paragraph with figures, by the name of its place."""
    return {
        "machine": _machine(results),
        "summary": _summary(results),
        "start_up": _start_up(results["start_up"]),
        **{
            f"one_shot_{delay}": _one_shot(results["one_shot"], str(delay))
            for delay in one_shot.DELAYS
        },
        "memory_peak": _memory_peak(results["memory"]),
        "memory_held": _memory_held(results["memory"]),
        "per_call": _per_call(results["per_call"]["calls"]),
        "per_chunk": _per_chunk(results["per_call"]["chunks"]),
        "layers": _layers(results["per_call"]["layers"]),
        "own_steps": _own_steps(results["per_call"]),
        "profile": _profile(results["per_call"]["profile"]),
        "throughput": _throughput(results["throughput"]["in_process"], throughput.BASE),
        "gateways": _throughput(results["throughput"]["gateways"], throughput.GATEWAY_BASE),
        "batches": _batches(results["batches"]),
        "growth": _growth(results["growth"]),
        "importing": _importing(results["importing"]),
    }


def span(seconds: float) -> str:
    """Return a time with three digits and its unit."""
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if abs(seconds) >= size or unit == "µs":
            break
    value = seconds / size
    digits = max(0, 2 - len(str(int(abs(value)))) + 1) if abs(value) >= 1 else 2
    return f"{value:.{digits}f} {unit}"


def spread(found: Results) -> str:
    return f"{span(found['median'])} ({span(found['q1'])} to {span(found['q3'])})"


def ratio(found: Results, digits: int = 2) -> str:
    if found["ratio"] == found["low"] == found["high"] == 1.0:
        return "1"
    low, high = found["low"], found["high"]
    return f"{found['ratio']:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    names = list(head)
    lines = [names, ["---"] * len(names), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def megabytes(found: Results, floor: Results | None = None) -> str:
    """Return a size; where it is not above what it cannot be less than, that."""
    value, least = found["median"], floor["median"] if floor else 0
    return f"at most {least:.0f} MB" if value <= least + 0.2 else f"{value:.0f} MB"


def code(label: str) -> str:
    """Return a label as code where it is something to type."""
    commands = ("python -c", "adapter ", "adapter.", "litellm", "llm", "gptme-util", "curl")
    name, comma, rest = label.partition(", ")
    typed = name.startswith(commands) or name == "adapter"
    return f"`{name}`{comma}{rest}" if typed else label


def _machine(results: Results) -> str:
    m = results["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in m["versions"].items())
    text = f"{m['cpus']} cores, {m['system']}, Python {m['python']}; {versions}."
    if m["quick"]:
        names = ", ".join(m["quick"])
        text += (
            f"\n\n**A trial run.** Few rounds (`--quick`), on a busy machine: {names}. The figures "
            "show that everything is measured, not how fast it is."
        )
    return text


def _summary(results: Results) -> str:
    shot = results["one_shot"]["delays"]["0"]
    label, warm = next(row for row in shot.items() if row[0].startswith("adapter, through"))
    peer = f"{ratio(warm['of_peer'], 3)} of `{one_shot.PEER}`'s and " if "of_peer" in warm else ""
    whole = results["per_call"]["calls"]["sync, whole"]
    ours, again = whole["adapter.completion"]["cpu"], whole[per_call.AGAIN]["cpu"]
    vllm = whole["adapter.completion, hosted_vllm"]["cpu"]
    quiet = "adapter.completion, disable_streaming_logging"
    each = {x: span(r["cpu"]["median"]) for x, r in results["per_call"]["chunks"].items()}
    took = {x: span(r["wall"]["median"]) for x, r in shot.items()}
    first = results["start_up"]["rows"]["adapter providers list"]
    worker, gateway = (results["memory"][x]["mb"] for x in ("adapter, a worker", "adapter serve"))
    rate = {label: f"{r['median']:.0f}" for label, r in results["batches"].items()}
    return f"""\
- `adapter providers list` takes {span(first["wall"]["median"])}, {first["ratio"]:.2f} times as
  long as `{start_up.BASE}`.
- A query {label.partition(", ")[2]} takes {took[label]}. An interpreter that only prints
  takes {took[one_shot.INTERPRETER]}, and a plain LiteLLM script {took[one_shot.BASE]}. The query's
  time is {peer}{ratio(warm, 3)} of the script's.
- A worker holds {megabytes(worker)}, and a gateway {megabytes(gateway)}.
- `adapter.completion` takes {ratio(ours, 3)} of the CPU time of `litellm.completion`, and the same
  `litellm.completion` once more {ratio(again, 3)}. With `hosted_vllm` it is {ratio(vllm, 3)}.
- A streamed chunk takes {each["adapter.completion"]} of CPU time, {each[quiet]} with
  `disable_streaming_logging`, and {each["OpenAI SDK"]} by the OpenAI SDK alone.
- `adapter batch` answers {rate["adapter batch, two processes"]} lines a second in two processes,
  and {rate["adapter batch --direct"]} with `--direct`. `adapter.acompletion` in one event loop
  makes {rate[batches.BASE]} calls a second."""


def _start_up(found: Results) -> str:
    return table(
        ("command", "median (quartiles)", "ratio (95 %)", "peak memory"),
        (
            (code(label), spread(r["wall"]), ratio(r), megabytes(r["peak_mb"], r["floor_mb"]))
            for label, r in found["rows"].items()
        ),
    )


def _one_shot(found: Results, delay: str) -> str:
    return table(
        ("query by", "first token", "end (quartiles)", "CPU", "peak memory", "ratio of end (95 %)"),
        (
            (
                code(label),
                span(r["first"]["median"]),
                spread(r["wall"]),
                span(r["cpu"]["median"]),
                megabytes(r["peak_mb"], r["floor_mb"]),
                ratio(r, 3),
            )
            for label, r in found["delays"][delay].items()
        ),
    )


def _memory_peak(found: Results) -> str:
    return table(
        ("process", "peak memory", "ratio"),
        (
            (code(label), megabytes(r["mb"], r["floor_mb"]), f"{r['ratio']:.2f}")
            for label, r in found.items()
            if "floor_mb" in r
        ),
    )


def _memory_held(found: Results) -> str:
    after = f"after {memory.CALLS} calls, or {memory.QUERIES} queries of the worker"
    return table(
        ("process", "idle", after, "ratio of idle"),
        (
            (code(label), megabytes(r["mb"]), megabytes(r["after_mb"]), f"{r['ratio']:.2f}")
            for label, r in found.items()
            if "after_mb" in r
        ),
    )


def _per_call(found: Results) -> str:
    return table(
        ("call", "by", "wall (quartiles)", "CPU", "ratio of wall (95 %)", "ratio of CPU (95 %)"),
        (
            (
                how,
                code(label),
                spread(r["wall"]),
                span(r["cpu"]["median"]),
                ratio(r["wall"], 3),
                ratio(r["cpu"], 3),
            )
            for how, rows in found.items()
            for label, r in rows.items()
        ),
    )


def _per_chunk(found: Results) -> str:
    return table(
        ("a chunk by", "wall (quartiles)", "CPU", "ratio of CPU (95 %)"),
        (
            (code(label), spread(r["wall"]), span(r["cpu"]["median"]), ratio(r["cpu"]))
            for label, r in found.items()
        ),
    )


def _layers(found: Mapping[str, Results]) -> str:
    rows = ((label, *(span(of[label]) for of in found.values())) for label in per_call.LAYERS)
    return table(("CPU time of one call", *found), rows)


def _own_steps(found: Results) -> str:
    whole = found["calls"]["sync, whole"][per_call.BASE]["cpu"]["median"]
    return table(
        ("step of adapter's", "time", "of a LiteLLM call"),
        ((label, span(s), f"{s / whole:.2%}") for label, s in found["own"].items()),
    )


def _profile(found: Results) -> str:
    rows = sorted(found.items(), key=lambda item: -item[1])
    return table(
        ("of `adapter.completion`, by cProfile", "share"),
        ((label, f"{share:.1%}") for label, share in rows),
    )


def _throughput(found: Results, base: str) -> str:
    levels = list(found[base])
    return table(
        ("answers a second", *(f"{int(level):,} in flight" for level in levels)),
        (
            (code(label), *(f"{r[n]['median']:.0f}, ratio {ratio(r[n])}" for n in levels))
            for label, r in found.items()
        ),
    )


def _batches(found: Results) -> str:
    return table(
        ("calls by", "a second (quartiles)", "ratio (95 %)", f"ratio to {batches.RAW} (95 %)"),
        (
            (
                code(label),
                f"{r['median']:.0f} ({r['q1']:.0f} to {r['q3']:.0f})",
                ratio(r),
                ratio(r["of_raw"]),
            )
            for label, r in found.items()
        ),
    )


def _growth(found: Results) -> str:
    return table(
        ("providers", "load", "`adapter providers list`", "resolve", "translate"),
        (
            (
                f"{int(size):,}",
                *(span(found[size][what]["median"]) for what in ("load", "list")),
                *(
                    f"{span(found[size][what]['median'])}, ratio {ratio(found[size][what])}"
                    for what in ("resolve", "translate")
                ),
            )
            for size in map(str, growth.SIZES)
        ),
    )


def _importing(found: Results) -> str:
    ours = "adapter config import"
    return table(
        ("entries", f"`{ours}`", "an entry", "peak memory", importing.BASE, "ratio (95 %)"),
        (
            (
                f"{int(size):,}",
                spread(r[ours]),
                span(r[ours]["median"] / int(size)),
                f"{r[ours]['peak_mb']['median']:.0f} MB",
                span(r[importing.BASE]["median"]),
                ratio(r[ours]),
            )
            for size, r in found.items()
        ),
    )
