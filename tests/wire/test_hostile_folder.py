"""A working folder full of traps changes nothing for the installed command.

``python -m adapter`` is another matter: Python itself puts the working folder first on the module
path there, before any of our code runs (``python -P -m adapter`` does not, from 3.11).
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.command import console_script
from tests.recorder import Recorder, recording_server

pytestmark = pytest.mark.timeout(300)

MODULES = [
    *("adapter", "litellm", "click", "tomli", "tomllib", "json", "yaml", "httpx", "openai"),
    *(
        "aiohttp",
        "dotenv",
        "keyring",
        "sitecustomize",
        "usercustomize",
        "conftest",
        "custom_callbacks",
    ),
    *(
        "uvicorn",
        "fastapi",
        "ssl",
        "socket",
        "readline",
        "secrets",
        "typing_extensions",
        "pydantic",
        "__main__",
        "certifi",
        "encodings",
        "tests",
    ),
]

EVIL = "http://127.0.0.1:9/evil"
TOML = f"""\
[[providers]]
name = "mine"
base_url = "{EVIL}"
api_key = "of-the-folder"
[[providers]]
name = "evil"
base_url = "{EVIL}"
[models]
default = "evil"
[plugin.litellm.providers.evil]
api_key_cmd = "touch {{marks}}/api_key_cmd"
"""
DOTENV = f"""\
MINE_API_KEY=of-the-folder
OPENAI_API_KEY=of-the-folder
OPENAI_BASE_URL={EVIL}
OPENAI_API_BASE={EVIL}
ADAPTER_CONFIG={{folder}}/gptme.toml
ADAPTER_MODEL=evil
LITELLM_PROXY_API_BASE={EVIL}
LITELLM_MASTER_KEY=of-the-folder
LITELLM_LOG=DEBUG
HTTP_PROXY={EVIL}
MODEL=evil
"""
YAML = f"""\
model_list:
  - model_name: mine
    litellm_params: {{{{model: openai/m, api_base: "{EVIL}", api_key: of-the-folder}}}}
litellm_settings: {{{{callbacks: custom_callbacks.handler}}}}
general_settings: {{{{master_key: of-the-folder}}}}
"""
FILES = {
    **dict.fromkeys(("gptme.toml", "config.toml", "config.local.toml"), TOML),
    **dict.fromkeys((".env", ".env.local", ".flaskenv"), DOTENV),
    **dict.fromkeys(("config.yaml", "litellm_config.yaml", "proxy_server_config.yaml"), YAML),
    "pyvenv.cfg": "home = {folder}\n",
    "python311._pth": "{folder}\nimport site\n",
    "evil.pth": "import sitecustomize\n",
    "setup.cfg": "[adapter]\n",
    "pyproject.toml": TOML,
}


class Place(NamedTuple):
    folder: Path
    marks: Path
    clean: Path
    script: str
    server: Recorder
    environ: dict[str, str]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    base = tmp_path_factory.mktemp("hostile")
    folder, marks, clean, home = (base / n for n in ("folder", "marks", "clean", "home"))
    for path in (folder, marks, clean, home / ".config/gptme", home / "runtime", base / "bin"):
        path.mkdir(parents=True)
    for name in MODULES:
        text = f"open({str(marks / name)!r}, 'w').close()\nraise SystemExit('imported {name}')\n"
        (folder / f"{name}.py").write_text(text)
    for name, text in FILES.items():
        (folder / name).write_text(text.format(folder=folder, marks=marks))
    for name in (".config/gptme", "gptme", ".gptme"):
        (folder / name).mkdir(parents=True)
        (folder / name / "gptme.toml").write_text(TOML.format(marks=marks))
    with recording_server() as server:
        config = home / ".config/gptme/gptme.toml"
        config.write_text(
            f'[[providers]]\nname = "mine"\nbase_url = "{server.base_url}"\ndefault_model = "m"\n'
        )
        (home / "import.yaml").write_text(
            "model_list: [{model_name: b, litellm_params: {model: openai/b, "
            'api_base: "http://localhost:1/v1"}}]\n'
        )
        given = {n: os.environ[n] for n in ("PATH", "LANG", "PYTHONPATH") if n in os.environ}
        environ = {
            **given,
            "HOME": str(home),
            "XDG_RUNTIME_DIR": str(home / "runtime"),
            "NO_PROXY": "*",
            "MINE_API_KEY": "own-key",
        }
        yield Place(folder, marks, clean, console_script(base / "bin"), server, environ)


def do(
    place: Place, *args: str, folder: Path | None = None, **more: str
) -> subprocess.CompletedProcess[str]:
    """Run the installed command, in the hostile folder unless another is named."""
    return subprocess.run(
        [place.script, *args],
        cwd=folder or place.folder,
        env={**place.environ, **more},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


def unmarked(place: Place) -> bool:
    return list(place.marks.iterdir()) == []


COMMANDS = [
    ("--help",),
    ("--version",),
    ("providers", "list"),
    ("providers", "show", "mine"),
    ("config", "check"),
    ("config", "path"),
    ("config", "export"),
    ("config", "import", "{HOME}/import.yaml", "--dry-run"),
    ("models",),
    ("completion", "bash"),
    ("keys", "set", "mine", "--dry-run"),
    ("serve", "--status"),
]


@pytest.mark.parametrize("args", COMMANDS, ids=" ".join)
def test_a_command_says_the_same_as_in_an_empty_folder(place: Place, args: tuple[str, ...]) -> None:
    words = [word.format(**place.environ) for word in args]
    files = {path: path.read_bytes() for path in place.folder.rglob("*") if path.is_file()}

    here, there = do(place, *words), do(place, *words, folder=place.clean)

    assert "own-key" not in here.stdout + here.stderr
    assert EVIL not in here.stdout + here.stderr
    assert (here.stdout, here.stderr) == (there.stdout, there.stderr)
    assert here.returncode == there.returncode
    assert unmarked(place)
    assert {p: p.read_bytes() for p in place.folder.rglob("*") if p.is_file()} == files


def test_completion_offers_the_same(place: Place) -> None:
    asked: dict[str, Any] = {"_ADAPTER_COMPLETE": "bash_complete", "COMP_TYPED": "adapter -m "}
    here = do(place, **asked)
    there = do(place, folder=place.clean, **asked)
    assert "mine" in here.stdout
    assert here.stdout == there.stdout
    assert unmarked(place)


def test_a_query_goes_where_the_users_own_file_says(place: Place) -> None:
    place.server.requests.clear()
    done = do(place, "hi")
    assert (done.returncode, done.stdout, done.stderr) == (0, "Hello, world\n", "")
    assert place.server.only.key == "own-key"
    assert unmarked(place)


@pytest.mark.live
def test_a_gateway_started_there_is_the_same_gateway(place: Place) -> None:
    place.server.requests.clear()
    started = do(place, "serve", "--detach", "--port", "0")
    try:
        assert started.returncode == 0, started.stderr
        assert "Models:  mine, mine/MODEL\n" in started.stdout
        key = do(place, "serve", "--key").stdout.strip()
        url = next(word for word in started.stdout.split() if word.startswith("http://"))
        done = do(place, "--gateway", url, "-m", "mine", "hi", LITELLM_PROXY_API_KEY=key)
        assert done.stdout == "Hello, world\n", done.stderr
        assert {r.key for r in place.server.requests} == {"own-key"}
        # LiteLLM's proxy may ask for the list of models at any time
        assert [r.path for r in place.server.requests if r.method == "POST"] == [
            "/v1/chat/completions"
        ]
        assert do(place, "serve", "--key").stdout != "of-the-folder\n"
    finally:
        assert do(place, "serve", "--stop").returncode == 0
    assert unmarked(place)


def test_the_traps_work(place: Place) -> None:
    """``python -m`` takes modules of the working folder: what the marks would show."""
    import sys

    done = subprocess.run(
        [sys.executable, "-m", "adapter", "--version"],
        cwd=place.folder,
        env=place.environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "imported" in done.stderr
    marks = list(place.marks.iterdir())
    assert marks
    for mark in marks:
        mark.unlink()
