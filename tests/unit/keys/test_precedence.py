"""Keys: gptme's precedence and variable lookup, and that a key does not show itself."""

from __future__ import annotations

import copy
import os
import pickle
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapter.errors import MissingKeyError
from adapter.keys.precedence import (
    PLACEHOLDER_KEY,
    ResolvedKey,
    default_variable,
    find_key,
    how_to_set,
    key_source,
    lookup,
)
from adapter.secrets.policy import mask_secrets
from adapter.secrets.secret import Secret

KEY = "sk-never-to-be-shown"

# What a variable may be: unset, empty, blank, a value, a value with white space around it.
SETTINGS = st.sampled_from([None, "", " ", "\r\n", "value", " value\n"])


class Places(NamedTuple):
    """The three places a variable is looked for, in order; ``None`` is unset."""

    prefixed: str | None
    bare: str | None
    table: str | None

    def environ(self, name: str) -> dict[str, str]:
        both = {f"GPTME_{name}": self.prefixed, name: self.bare}
        return {k: v for k, v in both.items() if v is not None}

    def env(self, name: str) -> dict[str, str]:
        return {} if self.table is None else {name: self.table}

    @property
    def winner(self) -> str | None:
        """The oracle: the first that holds anything but white space, without it."""
        return next((v.strip() for v in self if v is not None and v.strip() != ""), None)

    def told_apart(self) -> Places:
        """Return the places with values that tell which one they came from."""
        marked = (v and v.replace("value", f"from-{f}") for f, v in self._asdict().items())
        return Places(*marked)


PLACES = st.builds(Places, SETTINGS, SETTINGS, SETTINGS).map(Places.told_apart)


@settings(deadline=None)
@given(PLACES)
def test_a_variable_is_looked_up_prefixed_then_bare_then_in_the_table(places: Places) -> None:
    assert lookup("X", places.environ("X"), places.env("X")) == places.winner


@settings(deadline=None)
@given(PLACES)
def test_a_variable_written_with_the_prefix_is_the_same_variable(places: Places) -> None:
    """As in gptme's ``Config.get_env``: the ``[env]`` table always uses the bare name."""
    assert lookup("GPTME_X", places.environ("X"), places.env("X")) == places.winner


@settings(deadline=None)
@given(
    api_key=st.sampled_from([None, "", "  ", "direct", " direct\n"]),
    api_key_env=st.sampled_from([None, "", "NAMED"]),
    named=PLACES,
    default=PLACES,
)
def test_the_key_is_the_first_that_applies(
    api_key: str | None, api_key_env: str | None, named: Places, default: Places
) -> None:
    name, variable = "my-server", "MY_SERVER_API_KEY"
    environ = {**named.environ("NAMED"), **default.environ(variable)}
    table = {**named.env("NAMED"), **default.env(variable)}

    def find() -> ResolvedKey:
        given = key_source(name, {"api_key": api_key, "api_key_env": api_key_env})
        return find_key(name, given, table, environ)

    if api_key is not None and "direct" in api_key:
        assert find() == ResolvedKey(Secret("direct"), "(configured directly)", None)
    elif api_key_env and named.winner is not None:
        assert find() == ResolvedKey(Secret(named.winner), "$NAMED", "NAMED")
    elif api_key_env:
        with pytest.raises(MissingKeyError):
            find()
    elif default.winner is not None:
        assert find() == ResolvedKey(Secret(default.winner), f"${variable} (default)", variable)
    else:
        source = f"${variable} (default)"
        assert find() == ResolvedKey(Secret(PLACEHOLDER_KEY), source, variable, found=False)


def test_a_named_variable_that_is_unset_is_an_error_and_no_other_is_tried() -> None:
    environ = {"GROQ_API_KEY": "for-another-server", "OPENAI_API_KEY": "openais"}

    with pytest.raises(MissingKeyError) as caught:
        find_key("groq", key_source("groq", {"api_key_env": "MY_GROQ_KEY"}), {}, environ)

    assert (caught.value.provider, caught.value.variable) == ("groq", "MY_GROQ_KEY")
    message = str(caught.value)
    assert "'groq'" in message
    assert "$MY_GROQ_KEY, which is not set" in message
    assert "export MY_GROQ_KEY=" in message
    assert "[env]" in message


@pytest.mark.parametrize(
    ("provider", "variable"),
    [
        ("groq", "GROQ_API_KEY"),
        ("vllm-local", "VLLM_LOCAL_API_KEY"),
        ("a-b-c", "A_B_C_API_KEY"),
        ("my_server", "MY_SERVER_API_KEY"),
        ("MiXed2", "MIXED2_API_KEY"),
    ],
)
def test_the_default_variable_is_the_name_in_capitals(provider: str, variable: str) -> None:
    assert default_variable(provider) == variable
    source = key_source(provider, {})
    assert (str(source), source.variable) == (f"${variable} (default)", variable)


def test_the_process_environment_is_read_when_none_is_given(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("P_API_KEY", "first")
    first = find_key("p", key_source("p", {}), {})
    os.environ["P_API_KEY"] = "rotated"
    second = find_key("p", key_source("p", {}), {})

    assert (first.value, second.value) == ("first", "rotated")


@pytest.mark.parametrize("bad", ["a\nb", "a\rb", "a\x00b", "käse", "a\x7f", "a\u200bb", "„a“"])
@pytest.mark.parametrize("direct", [True, False])
def test_a_key_no_header_can_carry_is_refused_without_showing_it(bad: str, direct: bool) -> None:
    value = f"{KEY}{bad}"

    with pytest.raises(MissingKeyError) as caught:
        find_key(
            "p", key_source("p", {"api_key": value if direct else None}), {}, {"P_API_KEY": value}
        )

    message = str(caught.value)
    assert KEY not in message + repr(caught.value) + str(vars(caught.value))
    assert "'p'" in message
    assert ("(configured directly)" if direct else "$P_API_KEY (default)") in message


@pytest.mark.parametrize(
    "holder",
    [
        Secret(KEY),
        [Secret(KEY)],
        {"api_key": Secret(KEY)},
        ResolvedKey(Secret(KEY), "$X", "X"),
        find_key("p", key_source("p", {"api_key": KEY}), {}),
        find_key("p", key_source("p", {"api_key_env": "X"}), {"X": KEY}),
        copy.deepcopy({"api_key": Secret(KEY)}),
        copy.copy(Secret(KEY)),
    ],
    ids=lambda v: type(v).__name__,
)
def test_a_key_is_hidden_wherever_its_holder_is_shown(holder: Any) -> None:
    assert KEY not in repr(holder)
    assert "***" in repr(holder)
    assert KEY not in f"{holder!r:>80}"


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_key_is_not_pickled(protocol: int) -> None:
    with pytest.raises(TypeError, match="not pickled") as caught:
        pickle.dumps({"api_key": Secret(KEY)}, protocol)

    assert KEY not in str(caught.value)


def test_a_secret_is_used_as_any_other_string() -> None:
    secret = Secret(KEY)

    assert secret == KEY
    assert f"Bearer {secret}" == "Bearer " + KEY
    assert {KEY: 1}[secret] == 1
    assert secret.encode() == KEY.encode()
    assert copy.deepcopy(secret) is secret


@pytest.mark.parametrize(
    ("key", "words"),
    [
        (ResolvedKey(Secret(KEY), "$X", "X"), "key $X"),
        (ResolvedKey(Secret(KEY), "(configured directly)", None), "key (configured directly)"),
        (find_key("p", key_source("p", {}), {}, {}), "no key ($P_API_KEY is not set)"),
    ],
)
def test_a_resolved_key_says_where_it_came_from_and_never_itself(
    key: ResolvedKey, words: str
) -> None:
    assert str(key) == words


def test_masked_parameters_hide_the_key_and_nothing_else() -> None:
    params = {"model": "m", "api_key": KEY, "timeout": 3}

    assert mask_secrets(params) == {"model": "m", "api_key": "***", "timeout": 3}
    assert params["api_key"] == KEY


def test_another_mapping_may_stand_in_for_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("P_API_KEY", "first")
    monkeypatch.setattr(os, "environ", {"P_API_KEY": "second"})

    assert find_key("p", key_source("p", {}), {}).value == "second"


@pytest.mark.parametrize(
    ("variable", "advice"),
    [
        ("GROQ_API_KEY", "export GROQ_API_KEY=..."),
        ("API.EXAMPLE.COM_API_KEY", 'add api_key_env = "API_EXAMPLE_COM_API_KEY" to the provider'),
        ("01_AI_API_KEY", "and export _01_AI_API_KEY=..."),
        ("K\u00c4SE_API_KEY", "and export K_SE_API_KEY=..."),
    ],
)
def test_the_variable_that_is_advised_is_one_that_a_shell_can_export(
    variable: str, advice: str
) -> None:
    assert advice in how_to_set(variable)
