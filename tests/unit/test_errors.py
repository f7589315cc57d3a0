"""The tree of errors: what they are, what they say, and that they survive a process boundary."""

from __future__ import annotations

import copy
import pickle
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapter import errors
from adapter._text import did_you_mean, printable
from adapter.errors import (
    AdapterError,
    ConfigError,
    EmbeddedError,
    GatewayError,
    MissingKeyError,
    MissingModelError,
    Problem,
    UnknownProviderError,
)

EXIT_CODES = {
    AdapterError: 1,
    ConfigError: 2,
    MissingModelError: 2,
    EmbeddedError: 2,
    GatewayError: 2,
    MissingKeyError: 3,
    UnknownProviderError: 4,
}

PROBLEM = Problem("/c/gptme.toml", 3, "groq", "base_url is missing", "add base_url")
WARNING = Problem("/c/config.toml", None, None, "no such file", "check the path", warning=True)

SAMPLES = [
    AdapterError("a"),
    ConfigError("no base"),
    ConfigError([PROBLEM, WARNING]),
    MissingModelError("m"),
    EmbeddedError("e"),
    GatewayError("g", exit_code=7),
    MissingKeyError("k", provider="groq", variable="GROQ_API_KEY"),
    UnknownProviderError("grok", ["groq", "local"]),
]


def sample_id(error: AdapterError) -> str:
    return type(error).__name__


@pytest.mark.parametrize(("error", "code"), EXIT_CODES.items(), ids=str)
def test_each_error_is_one_of_ours_and_has_its_exit_code(
    error: type[AdapterError], code: int
) -> None:
    assert issubclass(error, AdapterError)
    assert error.exit_code == code


def test_the_tree_in_the_docstring_is_the_tree() -> None:
    drawn = dict(re.findall(r"(\w+Error) +exit (\d)", errors.__doc__ or ""))
    defined = {
        name: str(value.exit_code)
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, AdapterError)
    }

    assert drawn == defined
    assert {error.__name__ for error in EXIT_CODES} == set(defined)


@pytest.mark.parametrize("error", SAMPLES, ids=sample_id)
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_an_error_crosses_a_process_boundary_whole(error: AdapterError, protocol: int) -> None:
    again = pickle.loads(pickle.dumps(error, protocol))

    assert type(again) is type(error)
    assert str(again) == str(error)
    assert vars(again) == vars(error)


@pytest.mark.parametrize("error", SAMPLES, ids=sample_id)
def test_an_error_can_be_copied(error: AdapterError) -> None:
    again = copy.copy(error)

    assert (type(again), str(again), vars(again)) == (type(error), str(error), vars(error))


def test_a_problem_reads_file_line_provider_message_and_fix() -> None:
    assert str(PROBLEM) == (
        "/c/gptme.toml:3: provider 'groq': base_url is missing\n    fix: add base_url"
    )


def test_a_problem_without_line_or_provider_leaves_them_out() -> None:
    assert str(WARNING) == "warning: /c/config.toml: no such file\n    fix: check the path"


TEXT = st.text(st.characters(codec="utf-8"))


@settings(deadline=None)
@given(st.builds(Problem, TEXT, st.none() | st.integers(1), st.none() | TEXT, TEXT, TEXT))
def test_no_file_can_drive_the_terminal_or_forge_a_line(problem: Problem) -> None:
    first, second = str(problem).split("\n")

    assert first.isprintable()
    assert second.isprintable()
    assert second.startswith("    fix: ")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain ünï ✓", "plain ünï ✓"),
        ("two\nlines", "two\nlines"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("right\u202eleft", "right\\u202eleft"),
        ("a\tb\x00\x9b", "a\\tb\\x00\\x9b"),
    ],
)
def test_control_characters_are_shown_escaped(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_a_config_error_says_every_problem_and_keeps_them() -> None:
    error = ConfigError(iter([PROBLEM, WARNING]))

    assert error.problems == (PROBLEM, WARNING)
    assert str(error) == f"{PROBLEM}\n{WARNING}"


def test_a_config_error_from_words_has_no_problems() -> None:
    error = ConfigError("set OPENAI_BASE_URL")

    assert error.problems == ()
    assert str(error) == "set OPENAI_BASE_URL"


def test_a_missing_key_names_provider_and_variable() -> None:
    error = MissingKeyError("m", provider="groq", variable="GROQ_API_KEY")

    assert (error.provider, error.variable) == ("groq", "GROQ_API_KEY")


@pytest.mark.parametrize(
    ("name", "known", "message"),
    [
        ("grok", ["groq", "local"], "'grok' is configured (did you mean 'groq'?)"),
        (
            "zzz",
            ["groq", "local"],
            "'zzz' is configured (configured: groq, local); `adapter providers add zzz` adds it",
        ),
        (
            "my-x_1",
            [],
            "'my-x_1' is configured (configured: none); `adapter providers add my-x_1` adds it",
        ),
        ("z; rm", [], "'z; rm' is configured (configured: none)"),
        ("a\x1b", ["\x1b[2J"], "'a\\x1b' is configured (configured: \\x1b[2J)"),
    ],
)
def test_an_unknown_provider_is_told_the_nearest(name: str, known: list[str], message: str) -> None:
    error = UnknownProviderError(name, known)

    assert str(error) == f"no provider named {message}"
    assert error.name == name
    assert error.known == tuple(known)


@pytest.mark.parametrize(
    ("word", "hint"),
    [("base_ur", " (did you mean 'base_url'?)"), ("modell", ""), ("", "")],
)
def test_a_hint_is_given_only_where_a_word_is_near(word: str, hint: str) -> None:
    assert did_you_mean(word, ["name", "base_url"]) == hint
