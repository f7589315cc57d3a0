"""One-shot queries side by side: through a gateway, cold, by plain LiteLLM, and by `llm`.

Usage: python benchmarks/one_shot.py [--rounds N] [--llm PATH] [--json FILE]

All ask the same server on loopback, which answers at once. In each round every command runs once,
in turn, so that a busy moment hits all of them; medians are over the rounds, the first one left
out. Prints a table and can write the numbers as JSON. `make bench` runs it.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from tests.recorder import recording_server  # noqa: E402 - the path is set first

PLAIN = (
    "import sys, litellm\n"
    "print(litellm.completion(model='openai/m', api_base=sys.argv[1], api_key='sk-x',"
    " messages=[{'role': 'user', 'content': 'q'}]).choices[0].message.content)\n"
)
CLICK = (
    "import click\n"
    "@click.command()\n"
    "@click.argument('prompt')\n"
    "@click.option('-m', '--model')\n"
    "def ask(prompt, model):\n"
    "    click.echo('Hello, world')\n"
    "ask()\n"
)
STREAMED = (
    "import sys, litellm\n"
    "for chunk in litellm.completion(model='openai/m', api_base=sys.argv[1], api_key='sk-x',"
    " stream=True, messages=[{'role': 'user', 'content': 'q'}]):\n"
    "    print(chunk.choices[0].delta.content or '', end='', flush=True)\n"
    "print()\n"
)


def commands(base_url: str, adapter: str, llm: str | None) -> dict[str, list[str]]:
    python = sys.executable
    found = {
        "python -c pass": [python, "-c", "pass"],
        "python -c 'import click'": [python, "-c", "import click"],
        "a click command that only prints": [python, "-c", CLICK, "-m", "bench", "q"],
        "adapter, warm (gateway)": [adapter, "-m", "bench", "q"],
        "adapter, cold": [adapter, "-m", "bench", "--no-gateway", "q"],
        "plain litellm script": [python, "-c", PLAIN, base_url],
        "plain litellm script, streamed": [python, "-c", STREAMED, base_url],
    }
    if llm:
        found["llm"] = [llm, "-m", "bench", "q"]
    return found


def measure(command: list[str], environ: dict[str, str]) -> tuple[float, float]:
    """Return the wall and CPU seconds of one run of ``command``, which must answer."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.perf_counter()
    done = subprocess.run(
        command, env=environ, cwd="/", stdin=subprocess.DEVNULL, capture_output=True, check=False
    )
    wall = time.perf_counter() - started
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode or (len(command) > 3 and b"Hello, world" not in done.stdout):
        raise SystemExit(f"{command} failed: {done.stdout!r} {done.stderr!r}")
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return wall, cpu


def run(rounds: int, llm: str | None) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as name, recording_server() as server:
        home = Path(name)
        (home / "gptme.toml").write_text(
            f'[[providers]]\nname = "bench"\nbase_url = "{server.base_url}"\n'
            'api_key_env = "BENCH_KEY"\ndefault_model = "m"\n'
        )
        (home / "extra-openai-models.yaml").write_text(
            f'- model_id: bench\n  model_name: m\n  api_base: "{server.base_url}"\n'
            "  api_key_name: bench\n"
        )
        (home / "keys.json").write_text('{"bench": "sk-x"}')
        environ = {
            **{k: v for k, v in os.environ.items() if k in ("PATH", "LANG")},
            "HOME": name,
            "XDG_RUNTIME_DIR": name,
            "ADAPTER_CONFIG": str(home / "gptme.toml"),
            "BENCH_KEY": "sk-x",
            "LLM_USER_PATH": name,
            # else the plain script would ask the network for prices first
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        }
        adapter = str(Path(sys.executable).with_name("adapter"))
        subprocess.run(
            [adapter, "serve", "--detach", "--port", "0"], env=environ, check=True, stdout=2
        )
        try:
            taken: dict[str, list[tuple[float, float]]] = {}
            for number in range(rounds + 1):
                for label, command in commands(server.base_url, adapter, llm).items():
                    figures = measure(command, environ)
                    if number:
                        taken.setdefault(label, []).append(figures)
        finally:
            subprocess.run([adapter, "serve", "--stop"], env=environ, check=False)
    base = statistics.median(wall for wall, _ in taken["plain litellm script"])
    return {
        label: {
            "wall_s": statistics.median(wall for wall, _ in figures),
            "wall_min_s": min(wall for wall, _ in figures),
            "wall_max_s": max(wall for wall, _ in figures),
            "cpu_s": statistics.median(cpu for _, cpu in figures),
            "ratio": statistics.median(wall for wall, _ in figures) / base,
        }
        for label, figures in taken.items()
    }


def table(results: dict[str, Any]) -> str:
    lines = [
        "| command | wall, median (min to max) | CPU | ratio to plain LiteLLM |",
        "| --- | --- | --- | --- |",
    ]
    for label, r in results.items():
        spread = f"{r['wall_s']:.3f} s ({r['wall_min_s']:.3f} to {r['wall_max_s']:.3f})"
        lines.append(f"| {label} | {spread} | {r['cpu_s']:.3f} s | {r['ratio']:.3f} |")
    floor, warm = results["a click command that only prints"], results["adapter, warm (gateway)"]
    wall, cpu = (floor[unit] / warm[unit] for unit in ("wall_s", "cpu_s"))
    said = (
        f"Of a warm query, the interpreter plus click (a command that only prints) are {wall:.0%} "
    )
    lines += ["", said + f"of the time and {cpu:.0%} of this process's CPU time."]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--llm", help="the command `llm`, to compare with")
    parser.add_argument("--json", type=Path, help="write the numbers here")
    args = parser.parse_args()
    results = run(args.rounds, args.llm)
    sys.stdout.write(table(results) + "\n")
    if args.json:
        args.json.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
