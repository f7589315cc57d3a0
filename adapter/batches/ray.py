"""The calls of a batch by actors of a Ray cluster."""

from __future__ import annotations

__all__: list[str] = []
