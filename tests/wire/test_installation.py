"""What is published: a wheel and an sdist, and the wheel alone answers a query."""

from __future__ import annotations

import email
import re
import subprocess
import sys
import sysconfig
import venv
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.command import PATIENCE, PROJECT, ROOT
from tests.recorder import ANSWER, Recorder

REPOSITORY = "https://code.example/owner/gptme-litellm"


def run(*command: str | Path, cwd: Path | None = None) -> str:
    """Run a program and return what it printed on stdout; stderr is shown where it fails."""
    done = subprocess.run(
        list(map(str, command)),
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def distributions(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The sdist and the wheel, built from this checkout with the locked backend."""
    folder = tmp_path_factory.mktemp("dist")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("REPOSITORY_URL", REPOSITORY)
        run(sys.executable, "-m", "hatchling", "build", "--directory", folder, cwd=ROOT)
    return sorted(folder.iterdir())


def test_the_distributions_are_complete_and_right(distributions: list[Path]) -> None:
    pytest.importorskip("twine")
    stem = f"gptme_litellm-{PROJECT['version']}"

    checked = run(sys.executable, "-m", "twine", "check", "--strict", *distributions)

    assert [path.name for path in distributions] == [f"{stem}-py3-none-any.whl", f"{stem}.tar.gz"]
    assert checked.count("PASSED") == 2


def test_an_index_shows_no_link_to_a_path(distributions: list[Path]) -> None:
    with zipfile.ZipFile(distributions[0]) as wheel:
        name = next(n for n in wheel.namelist() if n.endswith(".dist-info/METADATA"))
        metadata = email.message_from_bytes(wheel.read(name))

    text = str(metadata.get_payload())
    links = re.findall(r"\]\(([^)#]+)|\b(?:src|srcset|href)=\"([^\"#]+)", text)
    addresses = [address for pair in links for address in pair if address]
    version = PROJECT["version"]
    assert f"{REPOSITORY}/blob/v{version}/docs/architecture.md" in addresses
    assert [a for a in addresses if not a.startswith(("https://", "http://"))] == []
    assert f"Source, {REPOSITORY}" in metadata.get_all("Project-URL", [])


def test_the_wheel_alone_answers_a_query(
    distributions: list[Path], tmp_path: Path, write: Callable[..., Path], server: Recorder
) -> None:
    """Its dependencies are this environment's; nothing of this checkout is on the path."""
    empty = tmp_path / "empty"
    venv.create(empty, symlinks=True)
    python = empty / "bin" / "python"
    install = ("install", "--no-index", "--no-deps", "--no-warn-script-location")
    run(sys.executable, "-m", "pip", "--python", python, *install, distributions[0])
    packages = next(empty.glob("lib/python*/site-packages"))
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    adapter = empty / "bin" / "adapter"
    write(f'[[providers]]\nname = "p"\nbase_url = "{server.base_url}"\ndefault_model = "m"\n')

    answer = run(adapter, "-m", "p", "Say hello.", cwd=tmp_path)

    where = run(python, "-c", "import adapter; print(adapter.__file__)", cwd=tmp_path)
    assert Path(where.strip()).is_relative_to(packages)
    assert PROJECT["version"] in run(adapter, "--version")
    assert [request.body["messages"][-1]["content"] for request in server.requests] == [
        "Say hello."
    ]
    assert answer == f"{ANSWER}\n"
