"""Growth: 1 to 10,000 configured providers, what it takes to load, list, resolve and translate.

Loading reads and checks the file anew. `adapter providers list` is the whole command. Resolving
and translating use a configuration that is loaded, as every call after the first does; they ask
for the last provider of the file. A ratio is to the same with one provider.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import measuring
from benchmarks.gateways import ADAPTER
from benchmarks.measuring import Results

__all__ = ["SIZES", "measure"]

SIZES = (1, 10, 100, 1_000, 10_000)
REPEATS = 200


def write(path: Path, number: int) -> None:
    path.write_text(
        "".join(
            f'[[providers]]\nname = "p{i}"\nbase_url = "http://127.0.0.1:1/v1"\n'
            'api_key_env = "BENCH_KEY"\ndefault_model = "m"\n\n'
            for i in range(number)
        )
    )


def timed(function: Callable[[], Any], repeats: int = 1) -> float:
    started = time.perf_counter()
    for _ in range(repeats):
        function()
    return (time.perf_counter() - started) / repeats


def measure(quick: bool) -> Results:
    from adapter import resolve, translate
    from adapter.config.loading import read_config

    with tempfile.TemporaryDirectory() as folder:
        os.environ["BENCH_KEY"] = "sk-x"
        paths = {size: Path(folder, f"{size}.toml") for size in SIZES}
        for size, path in paths.items():
            write(path, size)
        loaded = {size: read_config([str(path)], True, ()) for size, path in paths.items()}

        def case(size: int) -> dict[str, float]:
            path, config, model = str(paths[size]), loaded[size], f"p{size - 1}/m"
            environ = measuring.environment(
                Path(folder, "home"), ADAPTER_CONFIG=path, BENCH_KEY="sk-x"
            )
            return {
                "load": timed(lambda: read_config([path], True, ())),
                "list": measuring.run_process(
                    [ADAPTER, "providers", "list"], environ, f"p{size - 1}\n"
                ).wall,
                "resolve": timed(lambda: resolve(model, config), REPEATS),
                "translate": timed(lambda: translate(model, config), REPEATS),
            }

        cases = {str(size): (lambda s=size: case(s)) for size in SIZES}
        taken = measuring.rounds(cases, 1 if quick else 9, "growth")
    return {
        size: {
            what: {**measuring.summary(values), **measuring.ratio(values, taken["1"][what])}
            for what, values in found.items()
        }
        for size, found in taken.items()
    }


if __name__ == "__main__":
    measuring.main(__doc__, measure)
