"""Read keys from a command's output, a file of their own, or the OS keyring.

They stand under ``[plugin.litellm.providers.NAME]``, since gptme skips a provider with other
fields inside ``[[providers]]``.
"""

from __future__ import annotations

import atexit
import os
import signal
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from threading import Thread
from typing import TYPE_CHECKING, Any

from adapter._files import NotRegularError, read_regular, reason
from adapter._locks import ForkSafeLock
from adapter._text import one_line, printable
from adapter.errors import AdapterError, MissingKeyError

if TYPE_CHECKING:
    import subprocess

__all__ = ["KEYRING_SERVICE", "KEY_SETTINGS", "in_keyring", "read_key"]

KEY_SETTINGS = ("api_key_cmd", "api_key_file", "api_key_keyring")
"""In the order in which they count, after ``api_key`` and ``api_key_env``."""

KEYRING_SERVICE = "gptme-litellm"
"""The service under which keys stand in the OS keyring; the user name is the provider's name."""

COMMAND_SECONDS = 60.0
"""How long a command may take: a password manager may ask for a passphrase first."""

LINGER_SECONDS = 2.0
"""How long a command may go on after its first line, to say by its exit code that it failed."""

SOON_SECONDS = 1.0
"""How long to wait for what a command that has ended wrote last."""

MAX_BYTES = 64 * 1024
END_BYTES = 4096

_command_keys: dict[object, str] = {}
_lock = ForkSafeLock()


def read_key(provider: str, setting: str, value: Any) -> str:
    """Return the key that ``setting`` of ``provider`` leads to. Raises :class:`MissingKeyError`."""
    try:
        if key := _READERS[setting](provider, value).strip():
            return key
        why = "it is empty"
    except AdapterError as error:
        why = one_line(str(error))
    where = f"[plugin.litellm.providers.{provider}] {setting}"
    raise MissingKeyError(
        f"provider {provider!r} takes its key from {where}, which gives no key: {why}",
        provider=provider,
        variable=setting,
    )


def _command(provider: str, value: Any) -> str:
    """Return the first line of the command's output, run once in the life of this process.

    It and the other readers raise :class:`AdapterError` with why there is no key.
    """
    with _lock:
        # not its repr, in which all words of a command are alike: they may be secret
        command = value if isinstance(value, str) else tuple(value)
        if command not in _command_keys:
            _command_keys[command] = _first_line(_run(value))
        return _command_keys[command]


def _run(value: Any) -> bytes:
    """Run a command, or a shell's line, and return what it prints, its first line at least.

    Its session is its own, so that a command which takes too long ends with all that it started;
    it has no terminal, therefore, and asks for a passphrase by an agent or a window.
    """
    import subprocess

    try:
        process = subprocess.Popen(
            value,
            shell=isinstance(value, str),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        raise AdapterError(f"the command cannot be run: {reason(error)}") from None
    # Ctrl-C does not reach a session of its own, and ends the program while a thread waits here
    stop = partial(_stop, process)
    try:
        atexit.register(stop)
        output = _Output(process.stdout, MAX_BYTES)
        complaint = _Output(process.stderr, None)
        code = _exit_code(process, output)
    except BaseException:
        stop()
        raise
    finally:
        atexit.unregister(stop)
    if code and not output.full:  # full: the command had to stop, whatever it made of that
        complaint.join(SOON_SECONDS)
        words = printable(" ".join(complaint.data.decode(errors="replace").split()))[-300:]
        raise AdapterError(
            f"the command failed (exit code {code}): {words or 'it printed no reason'}"
        )
    if b"\n" not in output.data and not output.full:
        output.join(SOON_SECONDS)
    if b"\n" not in output.data and output.full:
        raise AdapterError(f"it printed more than {MAX_BYTES:,} bytes without a line end")
    return output.data


def _exit_code(process: subprocess.Popen[bytes], output: _Output) -> int:
    """Wait for the command's end; 0 for one that was stopped because its key is there.

    The end of its output is not waited for: a child that it leaves behind, such as an agent,
    may hold that for days.
    """
    start = time.monotonic()
    line_since = None
    while (code := process.poll()) is None:
        now = time.monotonic()
        if line_since is None and b"\n" in output.data:
            line_since = now
        if output.full or (line_since is not None and now - line_since > LINGER_SECONDS):
            _stop(process)
            return 0
        if now - start > COMMAND_SECONDS:
            raise AdapterError(f"the command took longer than {COMMAND_SECONDS:.0f} s")
        if output.is_alive():
            output.join(0.02)
        else:
            time.sleep(0.002)  # its output has ended, so it will, too
    return code


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Kill the command, and where there are process groups all that it started."""
    if hasattr(os, "killpg"):
        with suppress(OSError):
            os.killpg(process.pid, signal.SIGKILL)
    process.kill()
    process.wait()


class _Output(Thread):
    """Reads a command's pipe: its beginning, ``most`` bytes of it, or with ``None`` its end."""

    def __init__(self, pipe: Any, most: int | None) -> None:
        super().__init__(daemon=True)
        self.data = b""
        self._pipe = pipe
        self._most = most
        self.start()

    @property
    def full(self) -> bool:
        """Whether there is more than is kept of the beginning."""
        return self._most is not None and len(self.data) > self._most

    def run(self) -> None:
        with self._pipe as pipe:
            while not self.full and (piece := pipe.read(8192)):
                data = self.data + piece
                self.data = data if self._most is not None else data[-END_BYTES:]


def _file(provider: str, value: Any) -> str:
    """Return the first line of a file that only its owner can read."""
    path = os.path.expanduser(str(value))
    if not os.path.isabs(path):
        raise AdapterError(f"{value} is not an absolute path; begin it with / or ~/")
    try:
        data, info = read_regular(path, MAX_BYTES)
    except NotRegularError:
        raise AdapterError(f"{path} is not a regular file") from None
    except (OSError, ValueError) as error:
        raise AdapterError(f"{path}: {reason(error)}") from None
    if os.name == "posix" and info.st_mode & 0o077:
        raise AdapterError(f"{path} can be read by other users: chmod 600 {path}")
    if b"\n" not in data and len(data) > MAX_BYTES:  # half a key would be sent
        raise AdapterError(f"{path} has more than {MAX_BYTES:,} bytes without a line end")
    return _first_line(data)


def _keyring(provider: str, value: Any) -> str:
    key: str | None = in_keyring("get_password", provider)
    if key is None:
        raise AdapterError(f"it has no key of that name: adapter keys set {provider}")
    return key


def in_keyring(function: str, *args: str) -> Any:
    """Call a function of the OS keyring. Raises :class:`AdapterError` where it cannot be used."""
    try:
        import keyring
    except ImportError:
        from adapter._install import install_extra

        raise AdapterError(f"this needs the package keyring: {install_extra('keyring')}") from None
    try:
        return getattr(keyring, function)(KEYRING_SERVICE, *args)
    except Exception as error:  # noqa: BLE001 - backends raise what they like
        raise AdapterError(f"the keyring: {printable(str(error))[:300]}") from None


def _first_line(data: bytes) -> str:
    return data.decode("utf-8", "replace").partition("\n")[0]


_READERS: Mapping[str, Callable[[str, Any], str]] = {
    "api_key": lambda provider, value: str(value),
    "api_key_cmd": _command,
    "api_key_file": _file,
    "api_key_keyring": _keyring,
}
"""Setting -> what returns the key, given the provider's name and the setting's value."""
