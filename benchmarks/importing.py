"""Import: `adapter config import` of a config.yaml with 10 to 10,000 entries, into a new file.

One entry in ten has a server of its own and so becomes a provider. Beside it, as the floor, a
Python that only parses the same YAML with PyYAML's C parser. Each is the whole process.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from benchmarks import measuring
from benchmarks.gateways import ADAPTER
from benchmarks.measuring import Results

__all__ = ["BASE", "SIZES", "measure"]

BASE = "parsing the YAML"
SIZES = (10, 100, 1_000, 10_000)
PARSE = "import sys, yaml; print(len(yaml.load(open(sys.argv[1]), yaml.CSafeLoader)['model_list']))"


def last_port(number: int) -> int:
    return 1024 + (number - 1) // 10


def write(path: Path, number: int) -> None:
    lines = ["model_list:\n"]
    for i in range(number):
        server = i // 10
        lines.append(
            f"- model_name: p{server}/m{i}\n  litellm_params:\n    model: openai/m{i}\n"
            f"    api_base: http://127.0.0.1:{last_port(i + 1)}/v1\n"
            f"    api_key: os.environ/P{server}_KEY\n"
        )
    path.write_text("".join(lines))


def measure(quick: bool) -> Results:
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        environ = measuring.environment(home)
        target = home / "imported.toml"

        def run(size: int, label: str) -> dict[str, float]:
            path = home / f"{size}.yaml"
            if label == BASE:
                command, expect = [sys.executable, "-c", PARSE, str(path)], str(size)
            else:
                target.unlink(missing_ok=True)
                command, expect = [ADAPTER, "config", "import", str(path), "--to", str(target)], ""
            ran = measuring.run_process(command, environ, expect)
            if label != BASE and f":{last_port(size)}/v1" not in target.read_text():
                raise SystemExit(f"the import of {size} entries wrote no such provider")
            return {"wall": ran.wall, "peak_mb": ran.peak_mb}

        for size in SIZES:
            write(home / f"{size}.yaml", size)
        labels = ("adapter config import", BASE)
        cases = {f"{n} {x}": (lambda n=n, x=x: run(n, x)) for n in SIZES for x in labels}
        taken = measuring.rounds(cases, 1 if quick else 5, "importing")
    return {
        str(size): {
            label: {
                "peak_mb": measuring.summary(taken[f"{size} {label}"]["peak_mb"]),
                **measuring.summary(taken[f"{size} {label}"]["wall"]),
                **measuring.ratio(
                    taken[f"{size} {label}"]["wall"], taken[f"{size} {BASE}"]["wall"]
                ),
            }
            for label in labels
        }
        for size in SIZES
    }


if __name__ == "__main__":
    measuring.main(__doc__, measure)
