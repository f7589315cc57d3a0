"""One query in a process of its own: to the first byte of the answer, to the exit, and peak memory.

All stream, and ask the same server on loopback: once answering at once, once with 300 ms to the
first token. Every command runs once in each round and must print the answer. curl, which prints
the raw events, is the floor.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from benchmarks import measuring
from benchmarks.gateways import ADAPTER
from benchmarks.measuring import PEERS, Results
from benchmarks.server import ANSWER, Server, serving

__all__ = ["BASE", "DELAYS", "INTERPRETER", "PEER", "measure"]

BASE = "plain LiteLLM script"
PEER = "llm"
INTERPRETER = "an interpreter that only prints"
FIRST = "adapter, starting a worker"
CLICK_LABEL = "a click command that only prints"
DELAYS = (0, 300)

LITELLM = """\
import sys, litellm
for chunk in litellm.completion(model="openai/m", api_base=sys.argv[1], api_key="sk-x",
                                stream=True, messages=[{"role": "user", "content": "q"}]):
    print(chunk.choices[0].delta.content or "", end="", flush=True)
print()
"""
OPENAI = """\
import sys, openai
client = openai.OpenAI(base_url=sys.argv[1], api_key="sk-x")
for chunk in client.chat.completions.create(model="m", stream=True,
                                            messages=[{"role": "user", "content": "q"}]):
    print(chunk.choices[0].delta.content or "", end="", flush=True)
print()
"""
CLICK = """\
import click
@click.command()
@click.argument("prompt")
@click.option("-m", "--model")
def ask(prompt, model):
    click.echo("Hello, world")
ask()
"""


def name(delay: int) -> str:
    return f"bench{delay}"


def commands(server: Server, delay: int) -> dict[str, list[str]]:
    base_url, model = server.base_url(delay), name(delay)
    body = {"model": "m", "stream": True, "messages": [{"role": "user", "content": "q"}]}
    curl = ["curl", "-sSN", "-H", "Content-Type: application/json", "-H", "Authorization: Bearer x"]
    gptme = [str(PEERS / "gptme/bin/gptme-util"), "llm", "generate", "--stream", "-m"]
    python = [sys.executable, "-c"]
    return {
        "curl": [*curl, "-d", json.dumps(body), f"{base_url}/chat/completions"],
        CLICK_LABEL: [*python, CLICK, "-m", "m", "q"],
        INTERPRETER: [*python, f"print({ANSWER!r})"],
        "adapter, through the worker": [ADAPTER, "-m", model, "q"],
        FIRST: ["env", "ADAPTER_WORKER=on", ADAPTER, "-m", model, "q"],
        "adapter, without a worker": ["env", "ADAPTER_WORKER=off", ADAPTER, "-m", model, "q"],
        BASE: [*python, LITELLM, base_url],
        "OpenAI SDK script": [*python, OPENAI, base_url],
        PEER: [str(PEERS / "llm/bin/llm"), "-m", model, "q"],
        "gptme-util llm generate": [*gptme, f"{model}/m", "q"],
    }


def write_configurations(home: Path, server: Server) -> None:
    """Write the same two servers as gptme's providers (for adapter too) and as llm's models."""
    config = home / ".config/gptme/config.toml"
    config.parent.mkdir(parents=True)
    config.write_text(
        "".join(
            f'[[providers]]\nname = "{name(delay)}"\nbase_url = "{server.base_url(delay)}"\n'
            'api_key_env = "BENCH_KEY"\ndefault_model = "m"\n'
            for delay in DELAYS
        )
    )
    llm = home / "llm"
    llm.mkdir()
    (llm / "extra-openai-models.yaml").write_text(
        "".join(
            f"- model_id: {name(delay)}\n  model_name: m\n"
            f'  api_base: "{server.base_url(delay)}"\n  api_key_name: bench\n'
            for delay in DELAYS
        )
    )
    (llm / "keys.json").write_text('{"bench": "sk-x"}')


@contextmanager
def worker(environ: Mapping[str, str], *, start: bool = True) -> Iterator[None]:
    """Keep a worker while the context lasts; with ``start=False`` end one that starts in it."""

    def run(word: str) -> None:
        line = [ADAPTER, "worker", word]
        subprocess.run(line, env=dict(environ), check=True, capture_output=True)

    if start:
        run("start")
    try:
        yield
    finally:
        run("start")  # which waits until it answers
        run("stop")


def measure(quick: bool) -> Results:
    with tempfile.TemporaryDirectory() as folder, serving() as server:
        home = Path(folder)
        write_configurations(home, server)
        environ = measuring.environment(
            home, BENCH_KEY="sk-x", LLM_USER_PATH=str(home / "llm"), NO_COLOR="1"
        )
        with worker(environ):
            found = {
                str(delay): _measure(commands(server, delay), environ, 1 if quick else 3, delay)
                for delay in DELAYS
            }
    return {"delays": found}


def _measure(
    lines: Mapping[str, list[str]], environ: Mapping[str, str], number: int, delay: int
) -> Results:
    def case(label: str) -> dict[str, float]:
        if label == "curl" and not shutil.which("curl"):
            raise SystemExit("curl is not here: it is the floor of this benchmark")
        if label == FIRST:  # in a runtime folder where none runs
            with tempfile.TemporaryDirectory() as folder:
                alone = {**environ, "XDG_RUNTIME_DIR": folder}
                with worker(alone, start=False):
                    return measuring.run_process(lines[label], alone, ANSWER)._asdict()
        return measuring.run_process(lines[label], environ, ANSWER)._asdict()

    cases = {label: (lambda x=label: case(x)) for label in lines}
    taken = measuring.rounds(cases, number, f"one_shot, {delay} ms")
    return {
        label: {
            **{what: measuring.summary(values) for what, values in found.items()},
            **measuring.ratio(found["wall"], taken[BASE]["wall"]),
            "of_peer": measuring.ratio(found["wall"], taken[PEER]["wall"]),
        }
        for label, found in taken.items()
    }


if __name__ == "__main__":
    measuring.main(__doc__, measure)
