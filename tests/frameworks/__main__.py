"""Run every framework and program for real, and write the table of docs/frameworks.md.

Usage: python -m tests.frameworks [NAME...]; ``make frameworks`` runs all. Each Python framework is
installed, as locked in requirements/frameworks/, in an environment of its own below .frameworks/,
with this package; programs for Node are installed there, too. Needs uv, and npm for these.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from tests.frameworks.server import answer
from tests.recorder import Recorder, Request, recording_server

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / ".frameworks"
PAGE = ROOT / "docs" / "frameworks.md"
ASPECTS = ("plain", "streamed", "tools", "structured", "usage", "error")
SECONDS = 300
NODE = {
    "codex": "@openai/codex@0.171.0",
    "opencode": "opencode-ai@1.18.33",
    "claude": "@anthropic-ai/claude-code@2.1.197",
}

CONFIG = """
[[providers]]
name = "p-1"
base_url = "{base_url}"
[plugin.litellm.models."p-1/org/m"]
supports_function_calling = true
supports_response_schema = true
"""

GPTME = """
[[providers]]
name = "proxy"
base_url = "{base_url}"
api_key_env = "GATEWAY_KEY"
"""

DECOYS = {
    "OPENAI_API_KEY": "decoy-key",
    "OPENAI_ORG_ID": "decoy-org",
    "OPENAI_PROJECT_ID": "decoy-project",
    "OPENAI_CUSTOM_HEADERS": "X-Decoy: decoy",
}

QUIET = {
    "ANONYMIZED_TELEMETRY": "false",
    "CREWAI_DISABLE_TELEMETRY": "true",
    "CREWAI_TRACING_ENABLED": "false",
    "DISABLE_TELEMETRY": "1",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "MEM0_TELEMETRY": "False",
    "OTEL_SDK_DISABLED": "true",
}


MODES = {
    "install": "`install()`",
    "gateway": "a gateway",
    "run": "`adapter run -m`",
    "provider": "one `[[providers]]` entry",
}


class Row(NamedTuple):
    """One line of the table: a framework, or a program with the command that is run.

    ``home`` is the environment, ``distribution`` what its version is of, ``without`` the aspects
    that it does not have.
    """

    name: str
    mode: str
    home: str
    distribution: str
    without: tuple[str, ...] = ()
    command: tuple[str, ...] = ()


def _both(name: str, distribution: str, *without: str, home: str = "") -> list[Row]:
    return [Row(name, mode, home or name, distribution, without) for mode in ("install", "gateway")]


ROWS = (
    *_both("raw", "litellm"),
    *_both("dspy", "dspy"),
    *_both("langchain", "langchain-litellm"),
    *_both("langchain-router", "langchain-litellm", home="langchain"),
    *_both("smolagents", "smolagents"),
    *_both("instructor", "instructor", "streamed", "tools"),
    *_both("openai-agents", "openai-agents"),
    *_both("llama-index", "llama-index-llms-litellm"),
    *_both("mem0", "mem0ai", "streamed", "usage"),
    *_both("google-adk", "google-adk"),
    *_both("crewai", "crewai", "usage"),
    Row("pydantic-ai", "gateway", "pydantic-ai", "pydantic-ai-slim"),
    Row("inspect-ai", "gateway", "inspect-ai", "inspect-ai", ("streamed",)),
    Row("browser-use", "gateway", "browser-use", "browser-use", ("streamed", "tools")),
    Row("lm-eval", "gateway", "lm-eval", "lm_eval", ("streamed", "tools", "structured", "usage")),
    Row(
        "gptme",
        "provider",
        "gptme",
        "gptme",
        ASPECTS[1:],
        ("gptme", "-n", "--no-confirm", "-m", "proxy/p-1/org/m", "hi"),
    ),
    *(
        Row(name, "run", home, distribution, ASPECTS[1:], tuple(command.split()))
        for name, home, distribution, command in (
            (
                "aider",
                "aider",
                "aider-chat",
                "aider --message hi --no-git --yes-always --no-stream",
            ),
            ("gptme", "gptme", "gptme", "gptme -n --no-confirm hi"),
            ("llm", "llm", "llm", "llm hi"),
            (
                "openai",
                "aider",  # the newest SDKs have no such command
                "openai",
                "openai api chat.completions.create -m p-1/org/m -g user hi",
            ),
            ("codex", "node", "", "codex exec --skip-git-repo-check hi"),
            ("opencode", "node", "", "opencode run hi"),
            ("claude", "node", "", "claude -p hi"),
        )
    ),
)


def _make(home: str) -> Path:
    """Return the folder of an environment's programs, made where its lock has changed."""
    folder = FOLDER / home
    lock = ROOT / "requirements" / "frameworks" / f"{home}.txt"
    wanted = "\n".join(NODE.values()) if home == "node" else lock.read_text(encoding="utf-8")
    made = folder / ".made"
    if not made.is_file() or made.read_text(encoding="utf-8") != wanted:
        shutil.rmtree(folder, ignore_errors=True)
        if home == "node":
            folder.mkdir(parents=True)
            npm = ["npm", "install", "--no-audit", "--no-fund", "--prefix", str(folder)]
            subprocess.run([*npm, *NODE.values()], check=True, cwd=folder)
        else:
            install = ["uv", "pip", "install", "-q", "--python", str(folder / "bin" / "python")]
            subprocess.run(["uv", "venv", "-q", "--python", "3.11", str(folder)], check=True)
            subprocess.run([*install, "-r", str(lock)], check=True)
            if home != "aider":  # which has an older LiteLLM; a gateway needs none of this
                subprocess.run([*install, "--no-deps", "-e", str(ROOT)], check=True)
        made.write_text(wanted, encoding="utf-8")
    return folder / ("node_modules/.bin" if home == "node" else "bin")


def _version(row: Row, programs: Path) -> str:
    if row.home == "node":
        return NODE[row.name].rpartition("@")[2]
    code = f"import importlib.metadata as m; print(m.version({row.distribution!r}))"
    return subprocess.check_output([programs / "python", "-c", code], text=True).strip()


@contextmanager
def _place() -> Iterator[tuple[Recorder, dict[str, str], Path]]:
    """Yield a server, an environment full of decoys and a folder, with a gateway that runs."""
    with recording_server() as server, tempfile.TemporaryDirectory() as name:
        server.script = answer
        home = Path(name)
        (home / "run").mkdir(mode=0o700)
        config = home / "gptme.toml"
        config.write_text(CONFIG.format(base_url=server.base_url), encoding="utf-8")
        kept = ("PATH", "LANG", "SSL_CERT_FILE", "TERM")
        environ = {k: v for k, v in os.environ.items() if k in kept}
        environ |= {**DECOYS, **QUIET, "HOME": name, "XDG_RUNTIME_DIR": str(home / "run")}
        environ |= {"ADAPTER_CONFIG": str(config), "P_1_API_KEY": "own-key", "DSPY_CACHEDIR": name}
        environ |= {"NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
        adapter = [sys.executable, "-m", "adapter", "serve"]
        subprocess.run([*adapter, "--detach", "--port", "0"], env=environ, check=True, cwd=ROOT)
        told = subprocess.check_output([*adapter[:-1], "env", "--json"], env=environ, cwd=ROOT)
        gateway = json.loads(told)
        gptme = home / ".config" / "gptme" / "config.toml"
        gptme.parent.mkdir(parents=True)
        gptme.write_text(GPTME.format(base_url=gateway["OPENAI_BASE_URL"]), encoding="utf-8")
        environ["GATEWAY_KEY"] = gateway["OPENAI_API_KEY"]
        try:
            yield server, environ, home
        finally:
            subprocess.run([*adapter, "--stop"], env=environ, check=True, cwd=ROOT)


def _fault(aspect: str, output: str, requests: list[Request]) -> str | None:
    """Return what is wrong with an aspect, by what came back and what was received."""
    calls = [r for r in requests if r.path.endswith("/chat/completions")]
    if not calls:
        return "no request arrived"
    if any(r.key != "own-key" or "decoy" in str(r.headers) for r in requests if r.method == "POST"):
        return "a key or header of another"
    if any(r.body["model"] != ("denied" if aspect == "error" else "org/m") for r in calls):
        return "another model id"
    if aspect == "streamed" and not any(r.body.get("stream") for r in calls):
        return "not streamed"
    if aspect == "tools" and not calls[0].body.get("tools"):
        return "no tools"
    wanted = {"structured": "Paris", "error": "denied|401", "usage": "11.*7|7.*11"}
    return (
        None if re.search(wanted.get(aspect, "world|Paris|weather"), output) else "another result"
    )


def _run(row: Row, server: Recorder, environ: Mapping[str, str], home: Path) -> dict[str, str]:
    """Return aspect -> how it went: ``yes``, empty where there is no such thing, or the fault."""
    programs = _make(row.home)
    results = {"version": _version(row, programs), **dict.fromkeys(ASPECTS, "")}
    aspects = [aspect for aspect in ASPECTS if aspect not in row.without]
    case = [str(programs / "python"), str(Path(__file__).with_name("cases.py"))]
    command = [*case, row.name, row.mode, *aspects]
    if row.command:
        command = [str(programs / row.command[0]), *row.command[1:]]
    if row.mode in ("gateway", "run"):
        model = ("-m", "p-1/org/m") if row.mode == "run" else ()
        command = [sys.executable, "-m", "adapter", "run", *model, "--", *command]
    with (
        open(home / "stderr", "w+", encoding="utf-8") as errors,
        subprocess.Popen(
            command,
            env=dict(environ),
            cwd=home,
            stdin=subprocess.DEVNULL if row.command else subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        ) as process,
    ):
        timer = threading.Timer(SECONDS, process.kill)
        timer.start()
        for aspect in aspects:
            server.requests.clear()
            output = _output(process, row)
            if fault := _fault(aspect, output, list(server.requests)):
                errors.seek(0)
                sys.stderr.write(f"{row.name} {row.mode} {aspect}: {fault}\n{output[:300]}\n")
                sys.stderr.write(errors.read()[-1500:])
            results[aspect] = fault or "yes"
        timer.cancel()
    return results


def _output(process: subprocess.Popen[str], row: Row) -> str:
    """Return what a program prints, or what a case says of one aspect, once it is told to begin."""
    assert process.stdout is not None
    if row.command:
        return process.stdout.read()
    assert process.stdin is not None
    with suppress(BrokenPipeError):
        process.stdin.write("next\n")
        process.stdin.flush()
    lines = iter(process.stdout.readline, "")
    return next((line for line in lines if line.startswith("RESULT")), "")


def _table(results: Mapping[Row, Mapping[str, str]]) -> str:
    head = ("framework or program", "version", "with", *ASPECTS)
    lines = [head, ("---",) * len(head)]
    for row, result in results.items():
        lines.append((row.name, result["version"], MODES[row.mode], *(result[a] for a in ASPECTS)))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main(names: list[str]) -> int:
    """Run the rows named, or all; only all of them write the table. Return an exit code."""
    results = {}
    with _place() as place:
        for row in ROWS:
            if not names or row.name in names:
                results[row] = _run(row, *place)
                print(row.name, row.mode, json.dumps(results[row]), flush=True)  # noqa: T201
    table = _table(results)
    if names:
        print(table)  # noqa: T201
    else:
        text = PAGE.read_text(encoding="utf-8")
        mark = "| framework or program |"
        before, _, rest = text.partition(mark)
        _, gap, after = rest.partition("\n\n")
        PAGE.write_text(f"{before}{table}{gap}{after}", encoding="utf-8")
    faults = [v for result in results.values() for v in list(result.values())[1:]]
    return 0 if set(faults) <= {"yes", ""} else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
