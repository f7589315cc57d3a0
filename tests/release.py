"""The steps of `make release-check` that no other target has; see CONTRIBUTING.md.

``python -m tests.release tree|build|metadata|wheel``: each says what it found, and fails by its
exit code.
"""

from __future__ import annotations

import argparse
import email
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

import tomli

from hatch_build import LINK
from tests.matrix import VERSIONS, find_pythons, say
from tests.recorder import ANSWER, recording_server

ROOT = Path(__file__).parents[1]
DIST = ROOT / "dist"
VERSION = tomli.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]

HEADING = re.compile(r"^## \[(?P<version>[^]]+)\] - (?P<date>\S+)$", re.MULTILINE)
"""A release in CHANGELOG.md."""


def run(*command: str | Path, cwd: Path = ROOT, env: Mapping[str, str] | None = None) -> str:
    """Run a program, which must succeed, and return what it printed on stdout."""
    done = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))} ended with {done.returncode}\n{done.stdout}")
    return done.stdout


def check_tree() -> None:
    """All is committed, the changelog has the version with a date, and a tag names the version."""
    if changed := run("git", "status", "--porcelain"):
        sys.exit(f"not committed:\n{changed.rstrip()}")
    newest = HEADING.search((ROOT / "CHANGELOG.md").read_text(encoding="utf-8"))
    if newest is None or newest["version"] != VERSION:
        sys.exit(f"CHANGELOG.md does not begin with {VERSION}, the version of pyproject.toml")
    if not re.fullmatch(r"\d{4}-\d\d-\d\d", newest["date"]):
        sys.exit(f"CHANGELOG.md has no date for {VERSION}: {newest['date']}")
    tags = [t for t in run("git", "tag", "--points-at", "HEAD").split() if t.startswith("v")]
    if tags and f"v{VERSION}" not in tags:
        sys.exit(f"the tag is {', '.join(tags)}, and the version in pyproject.toml {VERSION}")
    say(f"{VERSION} of {newest['date']}, all committed; tag: {', '.join(tags) or 'none yet'}")


def build() -> None:
    """Build the sdist, and the wheel from what the sdist has."""
    shutil.rmtree(DIST, ignore_errors=True)
    hatchling = (sys.executable, "-m", "hatchling", "build", "--directory", DIST, "--target")
    run(*hatchling, "sdist")
    with tempfile.TemporaryDirectory() as folder, tarfile.open(next(DIST.iterdir())) as archive:
        archive.extractall(folder, filter="data")
        run(*hatchling, "wheel", cwd=next(Path(folder).iterdir()))
    for path in sorted(DIST.iterdir()):
        say(f"dist/{path.name}: {path.stat().st_size / 1024:.0f} KiB")


def check_metadata() -> None:
    """Both pass twine's check; every link of the description leads somewhere on an index, too."""
    wheel, sdist = built()
    say(run(sys.executable, "-m", "twine", "check", "--strict", wheel, sdist).rstrip())
    with zipfile.ZipFile(wheel) as archive:
        text = archive.read(f"gptme_litellm-{VERSION}.dist-info/METADATA").decode()
    metadata = email.message_from_string(text)
    if relative := sorted({link["path"] for link in LINK.finditer(str(metadata.get_payload()))}):
        sys.exit(
            f"{len(relative)} links of the description are relative, such as {relative[0]}: build "
            "with REPOSITORY_URL=https://HOST/OWNER/NAME"
        )
    say("\n".join(metadata.get_all("Project-URL", [])))


def check_wheel() -> None:
    """The wheel, installed as a user would on the lowest and the newest Python, answers."""
    wheel, _ = built()
    pythons = find_pythons()
    for version in dict.fromkeys((next(iter(pythons)), next(reversed(pythons)))):
        with tempfile.TemporaryDirectory() as name, recording_server() as server:
            home = Path(name)
            run(pythons[version], "-m", "venv", home / "venv")
            python = home / "venv/bin/python"
            run(python, "-m", "pip", "install", "-qq", "--no-input", wheel)
            run(python, "-m", "pip", "check")
            (home / "config.toml").write_text(
                f'[[providers]]\nname = "p"\nbase_url = "{server.base_url}"\ndefault_model = "m"\n',
                encoding="utf-8",
            )
            environ = {"HOME": name, "PATH": os.defpath, "LANG": "C.UTF-8", "NO_PROXY": "*"}
            environ["ADAPTER_CONFIG"] = str(home / "config.toml")
            command = home / "venv/bin/adapter"
            versions = run(python, "-c", VERSIONS, cwd=home, env=environ).strip()
            named = run(command, "--version", cwd=home, env=environ)
            answer = run(command, "-m", "p", "Say hello.", cwd=home, env=environ)
            if (named, answer) != (f"adapter {VERSION}\n", f"{ANSWER}\n"):
                sys.exit(f"{named!r} answered {answer!r}")
            say(f"The wheel answers on Python {versions}")


def built() -> tuple[Path, Path]:
    """Return the wheel and the sdist in dist/."""
    stem = f"gptme_litellm-{VERSION}"
    paths = (DIST / f"{stem}-py3-none-any.whl", DIST / f"{stem}.tar.gz")
    if not DIST.is_dir() or sorted(DIST.iterdir()) != sorted(paths):
        sys.exit(
            f"dist/ does not hold {paths[0].name} and {paths[1].name} alone: make release-build"
        )
    return paths


STEPS = {"tree": check_tree, "build": build, "metadata": check_metadata, "wheel": check_wheel}


def main() -> None:
    """Run the step that is named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("step", choices=STEPS)
    STEPS[parser.parse_args().step]()


if __name__ == "__main__":
    main()
