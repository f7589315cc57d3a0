"""Where a call went before: used again only where a new translation would say the same."""

from __future__ import annotations

import gc
import os
import sys
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapter import AdapterError, load_config
from adapter.call import known_targets
from adapter.call.known_targets import known_target, new_target
from adapter.call.resolution import resolve
from adapter.call.translation import Target, target_of
from adapter.secrets.scrubber import Scrubber, scrub
from tests import command

Write = Callable[..., Path]

URL = "https://h/v1"


@pytest.fixture(autouse=True)
def nothing_known(written_long_ago: None) -> Iterator[None]:
    known_targets._known.clear()
    yield
    known_targets._known.clear()


def provider(name: str = "p", base_url: str = URL, **fields: str) -> str:
    return command.provider(base_url, name, **{"default_model": "m", **fields})


def extras(text: str, name: str = "p") -> str:
    return f"[plugin.litellm.providers.{name}]\n{text}\n"


def asked(model: str) -> Target | None:
    """Return the target of a call."""
    return known_target(model) or new_target(model, resolve(model))


def seen(find: Callable[[], Target | None]) -> Any:
    """Return what can be told of a target, or of the error in its place."""
    try:
        target = find()
    except AdapterError as error:
        return type(error), str(error)
    return target and (target.name, target.base_url, target.model, target.key, target.params)


@pytest.mark.parametrize("model", ["p", "p/m", "p/a/b"])
def test_the_second_call_finds_what_the_first_one_made(model: str, write: Write) -> None:
    write(provider())

    assert known_target(model) is None
    first = asked(model)
    assert first is not None
    assert known_target(model) is first
    assert seen(lambda: first) == seen(lambda: target_of(resolve(model)))


@pytest.mark.parametrize(
    "text",
    [
        extras('api_key_cmd = ["echo", "k"]'),
        extras('api_key_file = "KEYFILE"'),
        extras('extra_headers = {X-Token = "$TOKEN"}'),
        extras('extra_headers = {X-A = "1"}'),
        extras("extra_body = {a = 1}"),
        extras('fallbacks = ["q"]'),
        extras('context_window_fallback_dict = {p = "q"}'),
    ],
)
def test_what_depends_on_more_or_could_be_changed_is_made_anew(
    text: str, write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = tmp_path / "key"
    key.write_text("sk-of-a-file")
    key.chmod(0o600)
    monkeypatch.setenv("TOKEN", "token-of-a-header")
    write(provider() + provider("q") + text.replace("KEYFILE", str(key)))

    for _ in range(2):
        assert asked("p") is not None
        assert known_target("p") is None


@pytest.mark.parametrize("text", [extras("timeout = 30"), extras('organization = "o"\nseed = 1')])
def test_parameters_that_nobody_can_change_are_kept(text: str, write: Write) -> None:
    write(provider() + text)

    assert asked("p") is known_target("p")


@pytest.mark.parametrize("model", ["openai/m", "local/m", "nobody"])
def test_only_a_configured_provider_is_known(
    model: str, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", URL)
    write(provider())

    asked(model)

    assert known_target(model) is None


def test_a_relative_path_means_another_file_in_another_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "c.toml").write_text(provider(api_key=f"sk-of-{name}"))
    monkeypatch.setenv("ADAPTER_CONFIG", "c.toml")

    for name in ("one", "two", "one"):
        monkeypatch.chdir(tmp_path / name)
        target = asked("p")
        assert target is not None
        assert target.key.value == f"sk-of-{name}"


def test_a_key_that_changes_while_it_is_read_is_read_again(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The variables' values are taken before it: those of afterwards would fit an older key."""
    write(provider())
    monkeypatch.setenv("P_API_KEY", "sk-first")

    def rotate(resolution: Any) -> Any:
        target = target_of(resolution)
        monkeypatch.setenv("P_API_KEY", "sk-second")
        return target

    monkeypatch.setattr(known_targets, "target_of", rotate)
    first = asked("p")
    monkeypatch.setattr(known_targets, "target_of", target_of)
    second = asked("p")

    assert first is not None
    assert second is not None
    assert (first.key.value, second.key.value) == ("sk-first", "sk-second")


def test_a_file_that_changes_meanwhile_is_read_again(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(provider(default_model="one"))
    resolution = resolve("p")
    write(provider(default_model="another"))

    first, second = new_target("p", resolution), asked("p")

    assert first is not None
    assert second is not None
    assert (first.model, second.model) == ("one", "another")


def test_a_key_in_use_is_not_forgotten_for_texts(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Others have been read since it was; that it is used counts as reading it."""
    monkeypatch.setenv("P_API_KEY", "sk-in-use")
    write(provider())
    asked("p")
    monkeypatch.setattr("adapter.secrets.scrubber._process", Scrubber())

    asked("p")

    assert scrub("it is sk-in-use") == "it is ***"


def test_so_many_models_are_known_and_no_more(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(provider())
    monkeypatch.setattr(known_targets, "MOST_KNOWN", 3)

    for number in range(10):
        asked(f"p/{number}")
        assert len(known_targets._known) <= 3
    assert known_target("p/9") is not None


def test_a_configuration_that_has_changed_does_not_stay_in_memory(write: Write) -> None:
    write(provider())
    asked("p")
    asked("p/x")
    before = weakref.ref(load_config())

    write(provider(default_model="another"))
    asked("p/x")
    gc.collect()

    assert before() is None


FILES = st.sampled_from(["config.toml", "gptme.toml", "config.local.toml", "other.toml"])
TEXTS = st.sampled_from(
    [
        None,
        "",
        provider(),
        provider(default_model="longer"),
        provider(api_key="sk-direct"),
        provider(api_key_env="NAMED"),
        provider("q"),
        provider(base_url="https://other/v1"),
        '[env]\nP_API_KEY = "sk-table"\n',
        extras("timeout = 5"),
        "not TOML",
    ]
)
NAMES = st.sampled_from(
    ["P_API_KEY", "GPTME_P_API_KEY", "NAMED", "GPTME_NAMED", "ADAPTER_CONFIG", "XDG_CONFIG_HOME"]
)
STEPS = st.one_of(
    st.tuples(st.just("write"), FILES, TEXTS),
    st.tuples(st.just("set"), NAMES, st.sampled_from([None, "", "sk-one", "sk-two"])),
    st.tuples(st.just("name"), st.just("ADAPTER_CONFIG"), FILES),
    st.tuples(st.just("move"), st.just("XDG_CONFIG_HOME"), st.sampled_from(["a", "b"])),
    st.tuples(st.just("go"), st.just(""), st.sampled_from(["a/gptme", "b/gptme"])),
)


@settings(deadline=None)
@given(st.lists(STEPS, max_size=12))
@pytest.mark.skipif(sys.platform == "win32", reason="a folder in use cannot be removed there")
def test_after_any_change_it_is_what_a_new_translation_says(
    steps: list[tuple[str, str, str | None]],
) -> None:
    here = os.getcwd()
    with TemporaryDirectory() as root, pytest.MonkeyPatch.context() as patch:
        folders = [Path(root, name, "gptme") for name in ("a", "b")]
        for folder in folders:
            folder.mkdir(parents=True)
            (folder / "gptme.toml").write_text(provider())
        patch.setenv("XDG_CONFIG_HOME", f"{root}/a")
        try:
            for what, name, value in steps:
                apply(patch, root, what, name, value)
                for model in ("p", "p/x", "q"):
                    asks = seen(lambda model=model: asked(model))  # type: ignore[misc]  # a lambda
                    assert asks == seen(lambda model=model: target_of(resolve(model)))  # type: ignore[misc]  # a lambda
        finally:
            os.chdir(here)


def wait_for_another_time(path: Path) -> None:
    """Wait until a change bears another time than the last one of ``path``, if it is there."""
    other = path.with_name("other")
    while path.exists():
        other.touch()
        if other.stat().st_ctime_ns > path.stat().st_ctime_ns:
            return


def apply(patch: pytest.MonkeyPatch, root: str, what: str, name: str, value: str | None) -> None:
    """Carry out one step: change a file, a variable or the working directory."""
    if what == "write":
        path = Path(root, "a", "gptme", name)
        if value is None:
            path.unlink(missing_ok=True)
        else:
            wait_for_another_time(path)
            path.write_text(value)
    elif what == "go":
        os.chdir(Path(root, str(value)))
    elif what == "name":
        patch.setenv(name, str(value))
    elif what == "move":
        patch.setenv(name, f"{root}/{value}")
    elif value is None:
        patch.delenv(name, raising=False)
    else:
        patch.setenv(name, value)
