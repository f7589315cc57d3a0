"""Keys from where people keep them: a command's output, a file of its own, the OS keyring.

They stand under ``[plugin.litellm.providers.NAME]``, since gptme refuses other fields inside
``[[providers]]``.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from threading import Lock
from typing import Any

from adapter.errors import MissingKeyError, printable

__all__ = ["KEYRING_SERVICE", "KEY_SETTINGS", "other_source", "read_other"]

KEY_SETTINGS = ("api_key_cmd", "api_key_file", "api_key_keyring")
"""In the order in which they count, after ``api_key`` and ``api_key_env``."""

KEYRING_SERVICE = "gptme-litellm"
"""The service under which keys stand in the OS keyring; the user name is the provider's name."""

COMMAND_SECONDS = 60.0
"""How long a command may take: a password manager may ask for a passphrase first."""

MAX_BYTES = 64 * 1024

_printed: dict[str, str] = {}
_lock = Lock()


def other_source(settings: Mapping[str, Any]) -> tuple[str, str] | None:
    """Return the setting that names the key's source, and the text that says so; reads nothing."""
    words = {
        "api_key_cmd": "(from a command)",
        "api_key_file": f"(from {settings.get('api_key_file')})",
        "api_key_keyring": "(from the keyring)",
    }
    return next(((name, words[name]) for name in KEY_SETTINGS if settings.get(name)), None)


def read_other(provider: str, setting: str, value: Any) -> str:
    """Return the key that ``setting`` leads to. Raises :class:`MissingKeyError`."""
    read = {"api_key_cmd": _command, "api_key_file": _file, "api_key_keyring": _keyring}
    try:
        key = read[setting](provider, value).strip()
    except _NoKeyError as error:
        why = str(error)
    else:
        if key:
            return key
        why = "it is empty"
    where = f"[plugin.litellm.providers.{provider}] {setting}"
    raise MissingKeyError(
        f"the key of provider {provider!r} comes from {where}, which gives none: {why}",
        provider=provider,
        variable=setting,
    )


class _NoKeyError(Exception):
    """Why a source gives no key."""


def _command(provider: str, value: Any) -> str:
    """Return the first line of the command's output, run once in the life of this process."""
    import subprocess

    with _lock:
        if (known := _printed.get(repr(value))) is not None:
            return known
        try:
            done = subprocess.run(
                value,
                shell=isinstance(value, str),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=COMMAND_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise _NoKeyError(f"the command took longer than {COMMAND_SECONDS:.0f} s") from None
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or str(error)
            raise _NoKeyError(f"the command cannot be run: {why}") from None
        if done.returncode != 0:
            said = printable(" ".join(done.stderr.decode(errors="replace").split()))[-300:]
            raise _NoKeyError(
                f"the command failed (exit code {done.returncode}): {said or 'it said nothing'}"
            )
        line = _first_line(done.stdout)
        _printed[repr(value)] = line
        return line


def _file(provider: str, value: Any) -> str:
    """Return the first line of a file that only its owner can read."""
    path = os.path.expanduser(str(value))
    if not os.path.isabs(path):
        raise _NoKeyError(f"{value} is no absolute path; begin it with / or ~/")
    try:
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
        with open(handle, "rb") as file:
            info = os.fstat(handle)
            if not stat.S_ISREG(info.st_mode):
                raise _NoKeyError(f"{path} is not a regular file")
            if os.name == "posix" and info.st_mode & 0o077:
                raise _NoKeyError(f"{path} can be read by other users: chmod 600 {path}")
            return _first_line(file.read(MAX_BYTES))
    except (OSError, ValueError) as error:
        raise _NoKeyError(f"{path}: {getattr(error, 'strerror', None) or error}") from None


def _keyring(provider: str, value: Any) -> str:
    try:
        import keyring
    except ImportError:
        raise _NoKeyError('run: pip install "gptme-litellm[keyring]"') from None
    try:
        key: str | None = keyring.get_password(KEYRING_SERVICE, provider)
    except Exception as error:  # noqa: BLE001 - backends raise what they like
        raise _NoKeyError(f"the keyring cannot be read: {printable(str(error))[:300]}") from None
    if key is None:
        raise _NoKeyError(f"it holds no key of that name: adapter keys set {provider}")
    return key


def _first_line(data: bytes) -> str:
    return data.decode("utf-8", "replace").partition("\n")[0]
