"""Docstrings name code as ``:class:`Name```, which Markdown does not know: a griffe extension."""

from __future__ import annotations

import re
from typing import Any

import griffe

import adapter

ROLE = re.compile(r":(?:class|func|meth|mod|data|attr):`~?([^`]+)`")


def linked(text: str) -> str:
    """Return ``text`` with each role as code, which is a link where the name is public."""

    def code(found: re.Match[str]) -> str:
        name = found[1].removeprefix("adapter.")
        return f"[`{found[1]}`][adapter.{name}]" if name in adapter.__all__ else f"`{found[1]}`"

    return ROLE.sub(code, text)


class Roles(griffe.Extension):
    """Rewrites the roles in the docstring of everything that is read."""

    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        if obj.docstring:
            obj.docstring.value = linked(obj.docstring.value)
