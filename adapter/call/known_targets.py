"""Where the calls before this one went: as this one does, where nothing has changed since.

To find out where a call goes takes some fifty steps through configuration, key and translation,
and most calls go where one has gone. What that depends on is looked at anew in each call, in a few
steps: the variables that name the files and the key, and whether the files have changed.
"""

from __future__ import annotations

import os
from typing import NamedTuple

from adapter.call.resolution import Resolution
from adapter.call.translation import Target, target_of
from adapter.config.files import PATH_VARIABLES
from adapter.config.loading import Config, load_config
from adapter.config.provider import Provider
from adapter.keys.variables import Variables, getenvs
from adapter.secrets.scrubber import register

__all__ = ["known_target", "new_target"]

MOST_KNOWN = 1000
"""Of model strings; then all are forgotten, as they are when the configuration has changed."""


class _Known(NamedTuple):
    """A target, which holds while variables and files are as they were."""

    variables: Variables
    config: Config
    target: Target


_known: dict[str, _Known] = {}


def known_target(model: str) -> Target | None:
    """Return where a call to ``model`` went and would go again; ``None`` where it is not known.

    It is the calls' own, so ``params`` is not to be changed. Its provider names no fallbacks.
    """
    known = _known.get(model)
    if known is None or not known.variables.are_still() or known.config.has_changed():
        return None
    target = known.target
    if target.key.found:
        register(target.key.value)
    return target


def new_target(model: str | None, resolution: Resolution) -> Target | None:
    """Return :func:`adapter.call.translation.target_of`, and know it from now on where that is all.

    Not known is what depends on more than variables and files: a key that a command, a file or a
    keyring gives, a header that takes its value from a variable, and the embedded model.
    """
    provider = resolution.provider
    names = _decided_by(provider) if provider else None
    if not model or names is None:
        return target_of(resolution)
    variables = Variables(names)  # before the key is read, which may change meanwhile
    target = target_of(resolution)
    config = load_config()
    if target is not None and config.find(target.name) is provider:
        others = _known.copy().values()
        if len(others) >= MOST_KNOWN or any(known.config is not config for known in others):
            _known.clear()  # a configuration that has changed is not to stay in memory
        _known[model] = _Known(variables, config, target)
    return target


def _decided_by(provider: Provider) -> tuple[str, ...] | None:
    """Return the variables that, with the files, decide where a call goes, if nothing else does."""
    key, path = provider.key_variables, getenvs(PATH_VARIABLES)[0]
    if key is None or (path and not os.path.isabs(path)):  # that depends on the working directory
        return None
    # whoever gets a table or a list may change it, and fallbacks, which are such, are calls too
    is_plain = all(isinstance(value, str | int | float) for value in provider.extras.values())
    return (*PATH_VARIABLES, *key) if is_plain else None
