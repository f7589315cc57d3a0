"""What is fuzzed: functions that take any bytes, and fail when a promise is broken.

Hypothesis calls them (``tests/unit/test_fuzzing.py``), and so does atheris
(``tests/fuzz.py``, `make fuzz`). Each promises at least that no exception comes out but those of
``AdapterError``'s tree.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

from adapter.call.resolution import Resolution, resolve
from adapter.config.loading import Config, load_config
from adapter.config.provider import Provider
from adapter.errors import ConfigError, MissingModelError, Problem, UnknownProviderError
from tests.command import run

__all__ = [
    "TARGETS",
    "import_yaml",
    "load_toml",
    "model_string",
]

CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")
"""What drives a terminal: C0 and C1 controls but newline and tab."""

FOLDER = TemporaryDirectory(prefix="fuzzing-")
"""Of the files that are written here."""

_NUMBERS = count()


def _new(suffix: str) -> Path:
    """Return a path that was not used lately: what is cached goes by path, time and size."""
    path = Path(FOLDER.name, f"{next(_NUMBERS) % 1000}{suffix}")
    path.unlink(missing_ok=True)
    return path


def _run(*args: str) -> tuple[int, str]:
    """Run the command; return its exit code and all it wrote, which drives no terminal."""
    done = run(*args)
    shown = done.out + done.err
    assert not CONTROLS.search(shown), repr(shown)
    assert done.code in range(8), shown
    assert (done.code == 0) or done.err.startswith(("Error: ", "warning: ")) or args[1] == "import"
    return done.code, shown


def load_toml(data: bytes) -> None:
    """Load it, check it, list and export what it has; the file stays as it is."""
    path = _new(".toml")
    path.write_bytes(data)
    path.chmod(0o600)
    problems: tuple[Problem, ...] = ()
    try:
        problems = load_config(path).warnings
        code = 0
    except ConfigError as error:
        problems = error.problems
        code = 2
    assert all(problem.message and problem.fix for problem in problems)
    assert any(not problem.warning for problem in problems) == bool(code)
    commands = [("config", "check"), ("providers", "list"), ("providers", "list", "--json")]
    commands += [("config", "export")]
    for command in commands:
        assert _run(*command, "--config", str(path))[0] == code, command
    assert path.read_bytes() == data


NAMED = Config(
    providers=(
        Provider("a", "http://a/v1"),
        Provider("b", "http://b/v1", default_model="x/y"),
        Provider("ä", "http://c/v1", default_model="é"),
        Provider("local-2", "http://d/v1"),
    ),
    env={"OPENAI_BASE_URL": "http://e/v1"},
)


def model_string(data: bytes) -> None:
    """Say what it means; what stands after a provider's name is the model, as it is."""
    model = data.decode("utf-8", "surrogateescape")
    try:
        found = resolve(model, NAMED)
    except (MissingModelError, UnknownProviderError, ConfigError):
        return
    if found.provider is None:
        assert found.embedded or not model or found.model == model
    for provider in NAMED.providers:
        rest = f"{provider.name}/{model}"
        if model:
            assert resolve(rest, NAMED) == Resolution(provider, model)


def import_yaml(data: bytes) -> str:
    """Import it, first as if; what is written loads again. Return what was shown."""
    path, target = _new(".yaml"), _new(".toml")
    path.write_bytes(data)
    arguments = ("config", "import", str(path), "--to", str(target))
    code, shown = _run(*arguments, "--dry-run")
    assert not target.exists()
    real, told_of_it = _run(*arguments)
    assert real == code
    if code == 2:
        assert shown.startswith("Error: ")
        assert not target.exists()
    if target.exists():
        before = target.read_bytes()
        load_config(target)
        # once more: nothing is new, and nothing differs
        again, _ = _run(*arguments)
        assert again in (0, code)  # what was left out is no failure where nothing is new
        assert target.read_bytes() == before
    assert path.read_bytes() == data
    return shown + told_of_it


TARGETS: Mapping[str, Callable[[bytes], object]] = {
    "TOML loading": load_toml,
    "model strings": model_string,
    "YAML import": import_yaml,
}


def isolate() -> None:
    """Cut this process off from the user's files and variables, as ``conftest.hermetic`` does."""
    kept = ("PATH", "LANG", "LC_ALL", "PYTHONPATH", "TMPDIR")
    for name in [name for name in os.environ if name not in kept]:
        del os.environ[name]
    os.environ.update(HOME=FOLDER.name, NO_PROXY="*")
    os.chdir(FOLDER.name)
