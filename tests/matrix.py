"""Run the unit and wire tests on other dependencies and other Pythons; see CONTRIBUTING.md.

``python tests/matrix.py [all|ends] [--now] [pytest arguments]``, with the standard library alone.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
SUITES = ("tests/unit", "tests/wire")
PYTHONS = ("3.10", "3.11", "3.12", "3.13", "3.14")
LOCKS = {"lowest": "requirements/lowest.txt", "newest": "requirements/newest.txt"}

# What requirements/newest.txt is made of, for `--now`.
NEWEST = (
    ".[embedded,keyring,render]",
    *("hypothesis", "pytest", "pytest-timeout", "pytest-xdist"),
    *("respx", "hatchling", "editables"),
)

VERSIONS = """
import platform
from importlib.metadata import version
names = ("litellm", "openai", "httpx", "click")
print(platform.python_version(), *(f"{name} {version(name)}" for name in names), sep=", ")
"""


@dataclass(frozen=True)
class Cell:
    """One run: which dependencies, on which Python."""

    dependencies: str
    version: str
    python: str

    @property
    def folder(self) -> Path:
        """Its environment."""
        return ROOT / ".matrix" / f"{self.dependencies}-{self.version}"

    @property
    def name(self) -> str:
        """What the output calls it."""
        return f"{self.dependencies} dependencies on Python {self.version}"


def say(line: str) -> None:
    """Print a line at once, before what a process prints."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def find_pythons() -> dict[str, str]:
    """Return the interpreter of each version that is on this machine and can make environments."""
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    found = {}
    for version in PYTHONS:
        installed = sorted(map(str, pyenv.glob(f"versions/{version}.*/bin/python{version}")))
        for candidate in (sys.executable, shutil.which(f"python{version}"), *installed):
            if candidate and version_of(candidate) == version:
                found[version] = candidate
                break
    return found


def version_of(python: str) -> str:
    """Return ``3.N`` of an interpreter; nothing where it does not run, as shims may not."""
    code = "import ensurepip, venv, sys; print('%d.%d' % sys.version_info[:2])"
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else ""


def make_environment(cell: Cell, environ: dict[str, str]) -> None:
    """Install the cell's dependencies and this project, unless they are there.

    Raises ``CalledProcessError`` where one of them cannot be installed.
    """
    lock = LOCKS.get(cell.dependencies)
    text = "" if lock is None else (ROOT / lock).read_text(encoding="utf-8")
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    stamp = hashlib.sha256(f"{cell.python}\n{text}\n{project}".encode()).hexdigest()
    made = cell.folder / "made"
    if lock is not None and made.is_file() and made.read_text(encoding="utf-8") == stamp:
        return
    say(f"Installing the {cell.name}")
    subprocess.run([cell.python, "-m", "venv", "--clear", str(cell.folder)], check=True)
    pip = [str(cell.folder / "bin/python"), "-m", "pip", "install", "-qq", "--no-input"]
    if lock is None:
        commands = [[*pip, *NEWEST]]
    else:
        commands = [[*pip, "--require-hashes", "--only-binary", ":all:", "-r", lock]]
    commands.append([*pip, "--no-index", "--no-deps", "--no-build-isolation", "-e", "."])
    for command in commands:
        subprocess.run(command, cwd=ROOT, env=environ, check=True)
    made.write_text(stamp, encoding="utf-8")


def run(cell: Cell, arguments: list[str], environ: dict[str, str]) -> str:
    """Run the suites in the cell's environment and return how it ended; empty where it passed."""
    try:
        make_environment(cell, environ)
    except subprocess.CalledProcessError as error:
        return f"could not be installed: {' '.join(map(str, error.cmd[-4:]))}"
    python = str(cell.folder / "bin/python")
    done = subprocess.run([python, "-c", VERSIONS], capture_output=True, text=True, check=True)
    say(f"Running {' and '.join(SUITES)} on the {cell.name}: {done.stdout.strip()}")
    command = [
        python,
        "-m",
        "pytest",
        "-q",
        "--no-header",
        "-p",
        "no:cacheprovider",
        "-m",
        "not live",
    ]
    code = subprocess.run([*command, *SUITES, *arguments], cwd=ROOT, env=environ, check=False)
    return "" if code.returncode == 0 else f"failed (pytest ended with {code.returncode})"


def main() -> int:
    """Run every cell, say how each ended, and return 1 where one failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cells", choices=["all", "ends"], nargs="?", default="all")
    parser.add_argument("--now", action="store_true", help="newest: what the registry has now")
    options, arguments = parser.parse_known_args()

    pythons = find_pythons()
    missing = [version for version in PYTHONS if version not in pythons]
    say("Python " + ", ".join(f"{v} ({path})" for v, path in pythons.items()))
    say(f"Not on this machine: Python {', '.join(missing)}" if missing else "None is missing")
    newest = "now" if options.now else "newest"
    oldest_python, newest_python = next(iter(pythons)), next(reversed(pythons))
    cells = [
        Cell(dependencies, version, python)
        for dependencies, end in (("lowest", oldest_python), (newest, newest_python))
        for version, python in pythons.items()
        if options.cells == "all" or version == end
    ]
    # The caller's settings for Python must not reach into the environments.
    environ = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "VIRTUAL_ENV"))}

    endings = []
    for cell in cells:
        started = time.monotonic()
        problem = run(cell, arguments, environ)
        minutes = (time.monotonic() - started) / 60
        endings.append(f"{cell.name}: {problem or 'passed'} ({minutes:.1f} minutes)")
        say(endings[-1])
    say("\nMatrix\n  " + "\n  ".join(endings))
    return int(not all(": passed (" in ending for ending in endings))


if __name__ == "__main__":
    sys.exit(main())
