"""Notes on errors that arrive in the middle of a stream, and connections that end with theirs."""

from __future__ import annotations

import sys
from functools import cache
from typing import TYPE_CHECKING, Any

from adapter.call.failures import add_note
from adapter.upstream.results import close_stream

if TYPE_CHECKING:
    from adapter.call.translation import Target

__all__ = ["note_stream"]


class _Noted:
    """Laid over a LiteLLM stream class: adds the note of :func:`add_note` to what it raises."""

    _adapter_target: Target

    def __next__(self) -> Any:
        handled = sys.exc_info()[1]
        try:
            return super().__next__()  # type: ignore[misc]  # the stream class follows in the MRO
        except StopIteration:
            close_stream(self)
            raise
        except BaseException as error:
            if isinstance(error, Exception):
                close_stream(self)
            add_note(error, self._adapter_target, handled)
            raise

    async def __anext__(self) -> Any:
        handled = sys.exc_info()[1]
        try:
            return await super().__anext__()  # type: ignore[misc]  # as above
        except StopAsyncIteration:
            raise
        except BaseException as error:
            add_note(error, self._adapter_target, handled)
            raise


@cache
def _noted_class(cls: Any) -> Any:
    """Return the class for a stream of class ``cls``, ``None`` where that is no stream."""
    if not hasattr(cls, "__next__") and not hasattr(cls, "__anext__"):
        return None
    return type(cls.__name__, (_Noted, cls), {"__module__": cls.__module__})


def note_stream(result: Any, target: Target) -> None:
    """Make a LiteLLM stream name ``target`` in its errors; anything else is left as it is.

    The object stays the same and an instance of its LiteLLM class: a wrapper around it would not.
    """
    cls: Any = type(result)
    if noted := _noted_class(cls):
        try:
            result.__class__ = noted
        except TypeError:  # a generator or another built-in: its errors go without the note
            return
        result._adapter_target = target
