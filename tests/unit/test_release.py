"""What publishes a release: its version, its steps, the workflow, what an index shows."""

from __future__ import annotations

import re
import subprocess
from typing import Any

import pytest
import yaml

from hatch_build import absolute
from tests.command import PROJECT, ROOT
from tests.matrix import PYTHONS
from tests.release import HEADING

JOBS: dict[str, Any] = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text("utf-8"))[
    "jobs"
]
STEPS = [step for job in JOBS.values() for step in job["steps"]]
MAKEFILE = (ROOT / "Makefile").read_text("utf-8")
TARGETS = set(re.findall(r"^([a-z-]+):.*## ", MAKEFILE, re.MULTILINE))


def test_the_changelog_begins_with_the_version() -> None:
    newest = HEADING.search((ROOT / "CHANGELOG.md").read_text("utf-8"))

    assert newest is not None
    assert newest["version"] == PROJECT["version"]


def test_every_step_of_the_workflow_is_a_target_of_the_makefile() -> None:
    runs = [step["run"].split() for step in STEPS if "run" in step]

    assert {words[0] for words in runs} == {"make"}
    assert {words[1] for words in runs} <= TARGETS
    assert all(re.fullmatch(r"[A-Z_]+=\S+", word) for words in runs for word in words[2:])


def test_every_step_of_a_release_is_a_step_of_the_workflow() -> None:
    names = re.search(r"^RELEASE := (.*)$", MAKEFILE, re.MULTILINE)

    assert names is not None
    assert set(names[1].split()) == {step["run"].split()[1] for step in STEPS if "run" in step}
    assert set(names[1].split()) <= TARGETS


def test_a_release_can_be_tried_without_its_long_steps() -> None:
    command = ["make", "--dry-run", "release-check", "SKIP=release-build test matrix"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)

    steps = re.findall(r"tests\.release (\w+)", done.stdout)
    assert steps == ["tree", "metadata", "wheel"]
    assert "pytest" not in done.stdout
    assert "matrix.py" not in done.stdout


def test_every_action_is_a_commit() -> None:
    pinned = re.compile(r"[\w.-]+/[\w.-]+@[0-9a-f]{40} # v[\d.]+")
    lines = [
        line.partition("uses: ")[2]
        for path in (ROOT / ".github/workflows").iterdir()
        for line in path.read_text("utf-8").splitlines()
        if "uses: " in line
    ]

    assert lines
    assert [line for line in lines if not pinned.fullmatch(line)] == []


def test_only_a_tag_is_published_and_only_after_all_else() -> None:
    publish = JOBS["publish"]

    assert publish["if"] == "github.ref_type == 'tag'"
    assert set(publish["needs"]) == JOBS.keys() - {"publish"}
    assert [name for name, job in JOBS.items() if "permissions" in job] == ["publish"]
    assert publish["permissions"] == {"id-token": "write"}


def test_the_same_pythons_are_named_everywhere() -> None:
    stem = "Programming Language :: Python :: 3."
    classified = [c.rpartition(" ")[2] for c in PROJECT["classifiers"] if c.startswith(stem)]
    ends = [
        step["with"]["python-version"].split()
        for step in STEPS
        if "\n" in step.get("with", {}).get("python-version", "")
    ]

    assert classified == list(PYTHONS)
    assert JOBS["test"]["strategy"]["matrix"]["python"] == list(PYTHONS)
    assert ends == [[PYTHONS[0], PYTHONS[-1]]] * 2


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("[a](docs/x.md#y)", "[a](https://h/o/n/blob/v1.2/docs/x.md#y)"),
        ("![a b](docs/x.svg)", "![a b](https://h/o/n/raw/v1.2/docs/x.svg)"),
        ('<source srcset="a.svg">', '<source srcset="https://h/o/n/raw/v1.2/a.svg">'),
        ('<img alt="b" src="c/d.png">', '<img alt="b" src="https://h/o/n/raw/v1.2/c/d.png">'),
        (
            "[![a](docs/x.svg)](docs/x.md)",
            "[![a](https://h/o/n/raw/v1.2/docs/x.svg)](https://h/o/n/blob/v1.2/docs/x.md)",
        ),
        ("[a](https://x/y) [b](#c) [d](mailto:e@f)", "[a](https://x/y) [b](#c) [d](mailto:e@f)"),
        ("`a(b)` [c]: d", "`a(b)` [c]: d"),
    ],
)
def test_a_path_in_the_repository_is_an_address_on_an_index(text: str, shown: str) -> None:
    assert absolute(text, "https://h/o/n/", "1.2") == shown


def test_what_runs_before_a_commit_is_what_the_lock_has() -> None:
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text("utf-8"))
    hooks = [hook for repo in config["repos"] for hook in repo["hooks"]]
    locked = (ROOT / "requirements/test.txt").read_text("utf-8")
    packages = {"ruff": "ruff", "mypy": "mypy", "lint-imports": "import-linter"}

    # a repository of hooks would bring versions of its own
    assert {repo["repo"] for repo in config["repos"]} == {"local"}
    programs = {hook["entry"].split()[0].removeprefix(".venv/bin/") for hook in hooks}
    assert programs == packages.keys()
    assert all(f"\n{packages[name]}==" in locked for name in programs)
