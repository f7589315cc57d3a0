"""Run every framework and program for real, and write the table of docs/frameworks.md.

Usage: python -m tests.frameworks [NAME...]; without a name all are run, as by ``make frameworks``.
Each is installed, as locked in requirements/frameworks/, in an environment of its own below
.frameworks/, a Python framework with this package. Needs uv, and npm for programs of Node.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.frameworks.cases import FORMAT, SCHEMA, TOOL
from tests.frameworks.rows import ASPECTS, MODES, ROWS, Row
from tests.frameworks.server import SCHEMA_KEYS, answer
from tests.recorder import Recorder, Request, recording_server

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / ".frameworks"
PAGE = ROOT / "docs" / "frameworks.md"
SECONDS = 300
LOCKS = ROOT / "requirements" / "frameworks"
BUILD = ("--build-constraints", str(ROOT / "requirements" / "test.txt"))
OMITTED = {"promptfoo": ("--omit=optional",)}  # browsers, and the clients of everybody
CONFIG = """
[[providers]]
name = "p-1"
base_url = "{base_url}"
[plugin.litellm.models."p-1/org/m"]
supports_function_calling = true
supports_response_schema = true
"""

GPTME_CONFIG = """
[[providers]]
name = "proxy"
base_url = "{base_url}"
api_key_env = "GATEWAY_KEY"
"""

WANTED = {
    "structured": "Paris",
    "error": "denied|401",
    "usage": r"(?s)\b611\b.*\b377\b|\b377\b.*\b611\b"
    r"|\b1222\b.*\b754\b|\b1833\b.*\b1131\b|\b988\b",
}
"""What must stand in the output, by aspect; where a tool was called, usage is of all calls."""

DECOYS = {
    "OPENAI_API_KEY": "decoy-key",
    "OPENAI_ORG_ID": "decoy-org",
    "OPENAI_PROJECT_ID": "decoy-project",
    "OPENAI_CUSTOM_HEADERS": "X-Decoy: decoy",
}

QUIET = {
    "ANONYMIZED_TELEMETRY": "false",
    "CLAUDE_CODE_MAX_RETRIES": "0",
    "CREWAI_DISABLE_TELEMETRY": "true",
    "CREWAI_TRACING_ENABLED": "false",
    "DISABLE_TELEMETRY": "1",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "MEM0_TELEMETRY": "False",
    "PROMPTFOO_CACHE_ENABLED": "false",
    "PROMPTFOO_DISABLE_TELEMETRY": "1",
    "PROMPTFOO_DISABLE_UPDATE": "1",
    "OTEL_SDK_DISABLED": "true",
}


def make_environment(home: str) -> Path:
    """Return the folder of an environment's programs, made where its lock has changed."""
    folder = FOLDER / home
    node = (LOCKS / home).is_dir()
    lock = LOCKS / home / "package-lock.json" if node else LOCKS / f"{home}.txt"
    wanted = lock.read_text(encoding="utf-8")
    made = folder / ".made"
    if not made.is_file() or made.read_text(encoding="utf-8") != wanted:
        shutil.rmtree(folder, ignore_errors=True)
        if node:
            shutil.copytree(LOCKS / home, folder)
            npm = ["npm", "install", "--no-audit", "--no-fund", "--prefix", str(folder)]
            subprocess.run([*npm, *OMITTED.get(home, ())], check=True, cwd=folder)
        else:
            install = ["uv", "pip", "install", "-q", "--python", str(folder / "bin" / "python")]
            subprocess.run(["uv", "venv", "-q", "--python", "3.11", str(folder)], check=True)
            subprocess.run([*install, "--require-hashes", "-r", str(lock)], check=True)
            if home != "aider":  # which has an older LiteLLM; a gateway needs none of this
                subprocess.run([*install, "--no-deps", *BUILD, "-e", str(ROOT)], check=True)
        made.write_text(wanted, encoding="utf-8")
    return folder / ("node_modules/.bin" if node else "bin")


def _version(row: Row, programs: Path) -> str:
    packages = LOCKS / row.home / "package.json"
    if packages.is_file():
        version: str = json.loads(packages.read_bytes())["dependencies"][row.distribution]
        return version
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
        begin = [*adapter, "--detach", "--port", "0"]
        subprocess.run(begin, env=environ, check=True, cwd=ROOT, stdout=subprocess.DEVNULL)
        told = subprocess.check_output([*adapter[:-1], "env", "--json"], env=environ, cwd=ROOT)
        gateway = json.loads(told)
        gptme = home / ".config" / "gptme" / "config.toml"
        gptme.parent.mkdir(parents=True)
        gptme.write_text(GPTME_CONFIG.format(base_url=gateway["OPENAI_BASE_URL"]), encoding="utf-8")
        environ["GATEWAY_KEY"] = gateway["OPENAI_API_KEY"]
        try:
            yield server, environ, home
        finally:
            subprocess.run([*adapter, "--stop"], env=environ, check=True, cwd=ROOT)


def _fault(row: Row, aspect: str, output: str, requests: list[Request]) -> str | None:
    """Return what is wrong with an aspect, by what came back and what was received."""
    calls = [r.body for r in requests if r.path.endswith("/chat/completions")]
    if not calls:
        return "no request arrived"
    if any(r.key != "own-key" or "decoy" in str(r.headers) for r in requests if r.method == "POST"):
        return "a key or header of another"
    if any(body["model"] != ("denied" if aspect == "error" else "org/m") for body in calls):
        return "another model id"
    if aspect == "streamed" and not any(body.get("stream") for body in calls):
        return "not streamed"
    roles = {message["role"] for body in calls for message in body["messages"]}
    if aspect == "tools" and not any(body.get("tools") for body in calls):
        return "no tools"
    if aspect == "tools" and row.commands and "tool" not in roles and "Paris" not in output:
        return "the tool's result did not arrive"
    schemas = [SCHEMA_KEYS & body.keys() or "city" in str(body["messages"]) for body in calls]
    if aspect == "structured" and not any(schemas):
        return "no schema"
    return (
        None if re.search(WANTED.get(aspect, "world|Paris|weather"), output) else "another result"
    )


def _run(row: Row, server: Recorder, environ: Mapping[str, str], home: Path) -> dict[str, str]:
    """Return aspect -> how it went: ``yes``, why there is no such thing, or the fault."""
    programs = make_environment(row.home)
    results = {"version": _version(row, programs), **dict.fromkeys(ASPECTS, ""), **row.without}
    outputs = (_program if row.commands else _case)(row, programs, environ, home)
    server.requests.clear()
    for aspect, output in outputs:
        fault = _fault(row, aspect, output, list(server.requests))
        if fault:
            sys.stderr.write(f"{row.name} {row.mode} {aspect}: {fault}\n{output[-2000:]}\n")
        results[aspect] = fault or "yes"
        server.requests.clear()
    return results


def _program(
    row: Row, programs: Path, environ: Mapping[str, str], home: Path
) -> Iterator[tuple[str, str]]:
    """Run a program for each of its aspects; yield what it prints, for an error on stderr, too."""
    schema = home / "schema.json"
    schema.write_text(json.dumps(SCHEMA), encoding="utf-8")
    for aspect, more in (("tools", [TOOL]), ("response_format", FORMAT)):  # promptfoo's files
        prompt = {"raw": "hi", "label": "hi", "config": {aspect: more}}
        text = json.dumps({"prompts": [prompt]})
        (home / f"{aspect}.json").write_text(text, encoding="utf-8")
    path = (
        {"PATH": f"{programs}{os.pathsep}{environ['PATH']}"}
        if "node_modules" in str(programs)
        else {}
    )
    for aspect in ASPECTS:
        if aspect in row.without:
            continue
        model = "p-1/denied" if aspect == "error" else "p-1/org/m"
        names = {"model": model, "schema": schema, "schema_text": json.dumps(SCHEMA)}
        words = shlex.split(row.commands.get(aspect, row.commands["plain"]))
        command = [word.format(**names) for word in words]
        command[0] = str(programs / command[0])
        if row.mode == "run":
            command = [sys.executable, "-m", "adapter", "run", "-m", model, "--", *command]
        process = subprocess.run(
            command,
            env={**environ, **path},
            cwd=home,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT if aspect in ("error", "usage") else None,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        yield aspect, process.stdout


def _case(
    row: Row, programs: Path, environ: Mapping[str, str], home: Path
) -> Iterator[tuple[str, str]]:
    """Run a framework's case, aspect by aspect; yield what came back of each."""
    aspects = [aspect for aspect in ASPECTS if aspect not in row.without]
    cases = str(Path(__file__).with_name("cases.py"))
    command = [str(programs / "python"), cases, row.name, row.mode, *aspects]
    if row.mode == "gateway":
        command = [sys.executable, "-m", "adapter", "run", "--", *command]
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, env=dict(environ), cwd=home, stdin=pipe, stdout=pipe, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        timer = threading.Timer(SECONDS, process.kill)
        timer.start()
        for aspect in aspects:
            with suppress(BrokenPipeError):
                process.stdin.write("next\n")
                process.stdin.flush()
            lines = iter(process.stdout.readline, "")
            yield aspect, next((line for line in lines if line.startswith("RESULT")), "")
        timer.cancel()


def _lines(results: list[tuple[Row, dict[str, str]]]) -> dict[tuple[str, str], str]:
    """Return the lines of the page's table, with those of ``results`` anew, by name and mode."""
    cells = [line.split(" | ") for line in PAGE.read_text(encoding="utf-8").splitlines()]
    lines = {(c[0][2:], c[2]): " | ".join(c) for c in cells if len(c) == len(ASPECTS) + 3}
    for row, result in results:
        line = (row.name, result["version"], MODES[row.mode], *(result[a] for a in ASPECTS))
        lines[row.name, MODES[row.mode]] = f"| {' | '.join(line)} |"
    return {(r.name, MODES[r.mode]): lines.get((r.name, MODES[r.mode]), "") for r in ROWS}


def _write(results: list[tuple[Row, dict[str, str]]]) -> None:
    """Write the page's table, where these rows are as they went now."""
    head = f"| framework or program | version | with | {' | '.join(ASPECTS)} |"
    dashes = f"| {' | '.join(['---'] * (len(ASPECTS) + 3))} |"
    lines = [head, dashes, *filter(None, _lines(results).values())]
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(head)
    _, gap, after = rest.partition("\n\n")
    PAGE.write_text("".join((before, "\n".join(lines), gap, after)), encoding="utf-8")


def main(names: list[str]) -> int:
    """Run the rows named, or all, and write them to the page's table. Return an exit code."""
    results = []
    with _place() as place:
        for row in ROWS:
            if not names or row.name in names:
                result = _run(row, *place)
                results.append((row, result))
                print(row.name, row.mode, json.dumps(result), flush=True)  # noqa: T201
    _write(results)
    failed = any(
        result[aspect] not in ("yes", row.without.get(aspect))
        for row, result in results
        for aspect in ASPECTS
    )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
