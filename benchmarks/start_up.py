"""How long commands that make no completion call take to start, beside `import click`.

Usage: python benchmarks/start_up.py [--rounds N]. Prints a table; the ratio is to
`python -c "import click"`, measured in the same rounds.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SCRIPT = str(Path(sys.executable).with_name("adapter"))

COMMANDS = {
    "python -c pass": [sys.executable, "-c", "pass"],
    "python -c 'import click'": [sys.executable, "-c", "import click"],
    "python -c 'import adapter'": [sys.executable, "-c", "import adapter"],
    "adapter --help": [SCRIPT, "--help"],
    "adapter providers list": [SCRIPT, "providers", "list"],
    "adapter providers show groq": [SCRIPT, "providers", "show", "groq"],
    "adapter config check": [SCRIPT, "config", "check"],
    "adapter config export": [SCRIPT, "config", "export"],
    "adapter config import --help": [SCRIPT, "config", "import", "--help"],
    "adapter models --help": [SCRIPT, "models", "--help"],
    "adapter providers test --help": [SCRIPT, "providers", "test", "--help"],
    "adapter config import c.yaml --dry-run": [SCRIPT, "config", "import", "c.yaml", "--dry-run"],
    "adapter providers add ollama --dry-run": [SCRIPT, "providers", "add", "ollama", "--dry-run"],
    "adapter models (refused)": [SCRIPT, "models"],
    "adapter completion bash": [SCRIPT, "completion", "bash"],
    "adapter serve --status": [SCRIPT, "serve", "--status"],
}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    taken: dict[str, list[float]] = {label: [] for label in COMMANDS}
    with tempfile.TemporaryDirectory() as home:
        config = Path(home, "gptme.toml")
        config.write_text('[[providers]]\nname = "groq"\nbase_url = "http://localhost:1/v1"\n')
        Path(home, "c.yaml").write_text(
            "model_list:\n- {model_name: m, litellm_params: {model: openai/m, api_base: http://h/v1}}\n"
        )
        environ = {"HOME": home, "ADAPTER_CONFIG": str(config), "PATH": "/usr/bin:/bin"}
        for number in range(rounds + 1):
            for label, command in COMMANDS.items():
                started = time.perf_counter()
                subprocess.run(command, env=environ, cwd=home, capture_output=True, check=False)
                if number:
                    taken[label].append(time.perf_counter() - started)
    base = statistics.median(taken["python -c 'import click'"])
    lines = ["| command | median (min to max) | ratio |", "| --- | --- | --- |"]
    for label, figures in taken.items():
        middle = statistics.median(figures)
        spread = f"{middle * 1e3:.0f} ms ({min(figures) * 1e3:.0f} to {max(figures) * 1e3:.0f})"
        lines.append(f"| {label} | {spread} | {middle / base:.2f} |")
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
