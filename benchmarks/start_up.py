"""Start-up: commands that make no completion call, beside click's import and other commands.

Every command runs once in each round, in a process of its own, from start to exit.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from benchmarks import measuring
from benchmarks.measuring import PEERS, SCRIPTS, Results

__all__ = ["measure"]

BASE = 'python -c "import click"'

CONFIG = """\
[[providers]]
name = "groq"
base_url = "http://127.0.0.1:1/v1"
default_model = "m"
"""
YAML = """\
model_list:
- {model_name: m, litellm_params: {model: openai/m, api_base: "http://127.0.0.1:1/v1"}}
"""
LINE = {
    "custom_id": "1",
    "method": "POST",
    "url": "/v1/chat/completions",
    "body": {"model": "groq", "messages": [{"role": "user", "content": "q"}]},
}


def commands() -> dict[str, list[str]]:
    adapter = str(SCRIPTS / "adapter")
    python = [sys.executable, "-c"]
    ours = ["--version", "--help", "providers list", "providers show groq", "models default"]
    ours += ["providers remove groq --dry-run", "config path", "config check", "config export"]
    ours += ["config import --dry-run c.yaml", "batch --dry-run in.jsonl out.jsonl"]
    ours += ["keys set --help", "worker stop", "completion bash", "completion zsh"]
    return {
        "python -c pass": [*python, "pass"],
        BASE: [*python, "import click"],
        'python -c "import adapter"': [*python, "import adapter"],
        **{f"adapter {line}": [adapter, *line.split()] for line in ours},
        "llm --help": [str(PEERS / "llm/bin/llm"), "--help"],
        "gptme-util providers list": [str(PEERS / "gptme/bin/gptme-util"), "providers", "list"],
        "litellm --version": [str(SCRIPTS / "litellm"), "--version"],
        'python -c "import openai"': [*python, "import openai"],
        'python -c "import litellm"': [*python, "import litellm"],
    }


def measure(quick: bool) -> Results:
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        config = home / ".config/gptme/config.toml"
        config.parent.mkdir(parents=True)
        config.write_text(CONFIG)
        (home / "c.yaml").write_text(YAML)
        (home / "in.jsonl").write_text(json.dumps(LINE) + "\n")
        environ = measuring.environment(home, LLM_USER_PATH=name)

        lines = commands()

        def case(label: str) -> dict[str, float]:
            return measuring.run_process(lines[label], environ)._asdict()

        cases = {label: (lambda x=label: case(x)) for label in lines}
        taken = measuring.rounds(cases, 1 if quick else 4, "start_up")
    return {
        "rows": {
            label: {
                "wall": measuring.summary(found["wall"]),
                "peak_mb": measuring.summary(found["peak_mb"]),
                "floor_mb": measuring.summary(found["floor_mb"]),
                **measuring.ratio(found["wall"], taken[BASE]["wall"]),
            }
            for label, found in taken.items()
        },
    }


if __name__ == "__main__":
    measuring.main(__doc__, measure)
