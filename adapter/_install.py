"""How more packages get into the environment that this package is installed in."""

from __future__ import annotations

import os
import sys

__all__ = ["install_command", "install_extra"]

NAME = "gptme-litellm"


def install_extra(extra: str) -> str:
    """Return the command that adds an extra of this package: pip's, pipx's or uv's.

    ``uv tool install`` replaces the extras of the one before, so those are named again.
    """
    if (extras := _uv_tool_extras()) is not None:
        return f'uv tool install "{NAME}[{",".join(sorted({*extras, extra}))}]"'
    return install_command(f'"{NAME}[{extra}]"')


def install_command(arguments: str) -> str:
    """Return the command that runs ``pip install`` with ``arguments`` in this environment."""
    if os.path.exists(os.path.join(sys.prefix, "pipx_metadata.json")):
        return f"pipx runpip {os.path.basename(sys.prefix)} install {arguments}"
    if _uv_tool_extras() is not None:
        return f"uv pip install --python {sys.executable} {arguments}"
    return f"pip install {arguments}"


def _uv_tool_extras() -> list[str] | None:
    """Return the extras that ``uv tool install`` was given, ``None`` where it was another."""
    import tomli

    try:
        with open(os.path.join(sys.prefix, "uv-receipt.toml"), "rb") as file:
            receipt = tomli.load(file)
        requirements = receipt["tool"]["requirements"]
        return [e for r in requirements if r["name"] == NAME for e in r.get("extras", ())]
    except FileNotFoundError:
        return None
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return []  # uv's, in a form that is not known here
