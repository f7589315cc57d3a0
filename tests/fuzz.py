"""Fuzz the readers of what others wrote, guided by coverage: ``python -m tests.fuzz --seconds 60``.

Each function of ``tests.fuzzing`` runs in a process of its own, with atheris (libFuzzer). An input
that breaks a promise is kept under ``.fuzzing/`` and tried again with ``--input``.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from tempfile import TemporaryDirectory
from typing import Any

ROOT = Path(__file__).parents[1]
FINDINGS = ROOT / ".fuzzing"

SEEDS = {
    "load_toml": ("config_examples/*.toml",),
    "import_yaml": ("tests/samples/*.yaml", "tests/samples/*.inc"),
}
TEXTS = {
    "load_toml": [b'providers = [{name = "p", base_url = "http://h/v1"}]\n[env]\nA = 0x1\n'],
    "model_string": [b"a/x", b"b", b"local/x", b"embedded", "ä/x".encode()],
    "import_yaml": [b"a: &a {x: 1}\nrouter_settings: {<<: *a, model_group_alias: {u: m}}\n"],
}
WORDS = {
    "load_toml": "[[providers]] [plugin.litellm. providers. router_settings [env] name base_url "
    "api_key default_model extra_headers 0x nan 1979-05-27",
    "model_string": "a/ b/ local/ embedded/",
    "import_yaml": "model_list: model_name: litellm_params: model: api_base: api_key: os.environ/ "
    "include: environment_variables: router_settings: <<: !!set !!binary",
}

RUN_ONLY = ("adapter.__main__", "adapter.gateway.process")
"""Modules that no target reaches; the others are all imported at once, or atheris sees them not."""

LONGEST = 4096
"""Of an input, in bytes; what is large is tested in ``tests/wire/test_hostile_files.py``."""


def main() -> int:
    """Fuzz each target in turn; return 1 when one of them has a finding."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=int, default=60, help="how long, for each target")
    parser.add_argument("--target", choices=TEXTS, action="append", help="this one only")
    parser.add_argument("--input", type=Path, help="try one input again (needs --target)")
    parser.add_argument("--child", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    given = parser.parse_args()
    targets = given.target or list(TEXTS)
    if given.child is not None:
        return _child(targets[0], given.child)
    if given.input is not None:
        return _child(targets[0], [str(given.input.resolve())])
    return max([_fuzz(target, given.seconds) for target in targets])


def _fuzz(target: str, seconds: int) -> int:
    """Fuzz one target in a process of its own, print how many inputs it was tried with."""
    with TemporaryDirectory() as folder:
        corpus = Path(folder, "corpus")
        corpus.mkdir()
        samples = [path for pattern in SEEDS.get(target, ()) for path in ROOT.glob(pattern)]
        texts = [*TEXTS[target], *(path.read_bytes() for path in samples)]
        for number, text in enumerate(texts):
            (corpus / str(number)).write_bytes(text)
        words = Path(folder, "words")
        quoted = (word.replace("\\", "\\\\").replace('"', '\\"') for word in WORDS[target].split())
        words.write_text("".join(f'"{word}"\n' for word in quoted), encoding="utf-8")
        FINDINGS.mkdir(exist_ok=True)
        options = [f"-max_total_time={seconds}", f"-max_len={LONGEST}", f"-dict={words}"]
        options += ["-timeout=60", "-rss_limit_mb=2048", f"-artifact_prefix={FINDINGS}/{target}-"]
        command = [
            sys.executable,
            "-m",
            "tests.fuzz",
            "--target",
            target,
            "--child",
            *options,
            str(corpus),
        ]
        done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=ROOT)
    shown = done.stdout + done.stderr
    tried = max((int(n) for n in re.findall(r"^#(\d+)", shown, re.MULTILINE)), default=0)
    print(f"fuzzing: {tried:,} inputs to {target} in {seconds} s")  # noqa: T201 - a program's output
    if done.returncode == 0 and tried:
        return 0
    found = re.findall(r"Test unit written to (\S+)", shown)
    print(shown[-4000:])  # noqa: T201
    for path in found:
        print(f"to try it again: python -m tests.fuzz --target {target} --input {path}")  # noqa: T201
    return 1


def _child(target: str, options: list[str]) -> int:
    """Run libFuzzer in this process, which it ends."""
    atheris: Any = import_module("atheris")  # has no types, and is not installed to run mypy
    with atheris.instrument_imports(include=["adapter"]):
        from tests import fuzzing

        for module in iter_modules([str(ROOT / "adapter")], "adapter."):
            if module.name not in RUN_ONLY:
                import_module(module.name)
    fuzzing.isolate()
    function = getattr(fuzzing, target)

    def one(data: bytes) -> None:
        function(data)

    atheris.Setup([sys.argv[0], *options], one)
    atheris.Fuzz()
    return 0


if __name__ == "__main__":
    sys.exit(main())
