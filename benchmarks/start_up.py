"""Start-up: commands that make no completion call, beside click's import and other commands.

Every command runs once in each round, in a process of its own, from start to exit.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from benchmarks import measuring
from benchmarks.measuring import PEERS, SCRIPTS, Results

__all__ = ["measure"]

BASE = 'python -c "import click"'

CONFIG = '[[providers]]\nname = "groq"\nbase_url = "http://127.0.0.1:1/v1"\n'
YAML = """\
model_list:
- {model_name: m, litellm_params: {model: openai/m, api_base: "http://127.0.0.1:1/v1"}}
"""


def commands() -> dict[str, list[str]]:
    adapter = str(SCRIPTS / "adapter")
    python = [sys.executable, "-c"]
    ours = ["--help", "providers list", "providers show groq", "config check", "config export"]
    ours += ["completion bash", "config path", "config import --dry-run c.yaml"]
    return {
        "python -c pass": [*python, "pass"],
        BASE: [*python, "import click"],
        'python -c "import adapter"': [*python, "import adapter"],
        **{f"adapter {line}": [adapter, *line.split()] for line in ours},
        "llm --help": [str(PEERS / "llm/bin/llm"), "--help"],
        "gptme-util providers list": [str(PEERS / "gptme/bin/gptme-util"), "providers", "list"],
        'python -c "import litellm"': [*python, "import litellm"],
    }


def measure(quick: bool) -> Results:
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        config = home / ".config/gptme/config.toml"
        config.parent.mkdir(parents=True)
        config.write_text(CONFIG)
        (home / "c.yaml").write_text(YAML)
        environ = measuring.environment(home, LLM_USER_PATH=name)

        lines = commands()

        def case(label: str) -> dict[str, float]:
            return measuring.run_process(lines[label], environ)._asdict()

        cases = {label: (lambda x=label: case(x)) for label in lines}
        taken = measuring.rounds(cases, 1 if quick else 6, "start_up")
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
