"""Keys and model ids as the server receives them, through real calls of ``adapter.completion``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import adapter
from tests.recorder import Recorder, recording_server

Write = Callable[..., Path]

MESSAGES = [{"role": "user", "content": "hi"}]

NAME = "my-server"
DEFAULT = "MY_SERVER_API_KEY"


@pytest.fixture(autouse=True)
def decoys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys that are not the provider's, one of which LiteLLM would send if it were given none."""
    monkeypatch.setenv("OPENAI_API_KEY", "decoy-openai")
    monkeypatch.setenv("GPTME_OPENAI_API_KEY", "decoy-gptme-openai")
    monkeypatch.setenv("OTHER_API_KEY", "decoy-other")


def table(server: Recorder, *fields: str, name: str = NAME) -> str:
    return "\n".join(
        ["[[providers]]", f'name = "{name}"', f'base_url = "{server.base_url}"', *fields, ""]
    )


def sent_to(server: Recorder, model: str = f"{NAME}/m") -> str | None:
    """Make a call and return the Authorization header the server received."""
    before = len(server.requests)
    adapter.completion(model=model, messages=MESSAGES, max_retries=0)
    (request,) = server.requests[before:]
    return request.headers.get("authorization")


def test_of_all_sources_at_once_the_first_is_sent_then_the_next_as_each_is_removed(
    write: Write, server: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    env = f'[env]\nNAMED = "6-named-in-table"\n{DEFAULT} = "9-default-in-table"\n'
    named = 'api_key_env = "NAMED"'
    for variable, value in {
        "GPTME_NAMED": "2-named-prefixed",
        "NAMED": "3-named",
        f"GPTME_{DEFAULT}": "7-default-prefixed",
        DEFAULT: "8-default",
    }.items():
        monkeypatch.setenv(variable, value)
    write(table(server, 'api_key = "1-direct"', named), "gptme.toml")
    write(env.replace("6-named", "5-named"), "config.local.toml")
    write(env, "config.toml")

    assert sent_to(server) == "Bearer 1-direct"
    write(table(server, named))
    assert sent_to(server) == "Bearer 2-named-prefixed"
    monkeypatch.delenv("GPTME_NAMED")
    assert sent_to(server) == "Bearer 3-named"
    monkeypatch.setenv("NAMED", "")
    assert sent_to(server) == "Bearer 5-named-in-table"
    write(env.replace("NAMED", "OTHER"), "config.local.toml")
    assert sent_to(server) == "Bearer 6-named-in-table"

    # named and nowhere set: an error, though every default source still is
    write("", "config.toml")
    received = len(server.requests)
    with pytest.raises(adapter.MissingKeyError, match=r"\$NAMED, which is not set"):
        sent_to(server)
    assert len(server.requests) == received

    write(table(server))
    assert sent_to(server) == "Bearer 7-default-prefixed"
    monkeypatch.delenv(f"GPTME_{DEFAULT}")
    assert sent_to(server) == "Bearer 8-default"
    monkeypatch.delenv(DEFAULT)
    assert sent_to(server) == "Bearer 9-default-in-table"
    write("", "config.local.toml")
    assert sent_to(server) == "Bearer default-key"


@pytest.mark.parametrize("blank", ["", "  "])
def test_an_empty_key_is_as_good_as_none_and_sends_no_other(
    blank: str, write: Write, server: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(DEFAULT, blank)
    write(table(server, f'api_key = "{blank}"') + f'[env]\n{DEFAULT} = "{blank}"\n')

    assert sent_to(server) == "Bearer default-key"


def test_white_space_around_a_key_does_not_reach_the_header(
    write: Write, server: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(table(server, 'api_key = " direct\\t"') + table(server, name="other-one"))
    monkeypatch.setenv("OTHER_ONE_API_KEY", "from-a-file\r\n")

    assert sent_to(server) == "Bearer direct"
    assert sent_to(server, "other-one/m") == "Bearer from-a-file"


def test_a_local_file_gives_the_key_and_may_move_the_server(
    write: Write, server: Recorder, other_server: Recorder
) -> None:
    write(table(server, 'default_model = "old"', 'api_key_env = "OTHER_API_KEY"'), "config.toml")
    write('[[providers]]\nname = "my-server"\ndefault_model = "new"\n', "gptme.toml")
    write('[[providers]]\nname = "my-server"\napi_key = "secret"\n', "config.local.toml")

    assert sent_to(server, NAME) == "Bearer secret"
    assert server.only.body["model"] == "new"

    write(table(other_server), "config.local.toml")

    assert sent_to(other_server, NAME) == "Bearer decoy-other"
    assert other_server.only.body["model"] == "new"
    assert len(server.requests) == 1


def test_a_rotated_key_is_sent_by_the_next_call(
    write: Write, server: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(table(server))
    monkeypatch.setenv(DEFAULT, "before")
    assert sent_to(server) == "Bearer before"
    monkeypatch.setenv(DEFAULT, "after")
    assert sent_to(server) == "Bearer after"


def test_each_provider_gets_its_own_key(
    write: Write, server: Recorder, other_server: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(table(server, name="a") + table(other_server, name="b"))
    monkeypatch.setenv("A_API_KEY", "key-a")
    monkeypatch.setenv("B_API_KEY", "key-b")

    assert sent_to(server, "a/m") == "Bearer key-a"
    assert sent_to(other_server, "b/m") == "Bearer key-b"
    assert sent_to(server, "a/m") == "Bearer key-a"


LOCAL = (
    "OPENAI_API_BASE",
    "OPENAI_BASE_URL",
    "OPENAI_API_KEY",
    "GPTME_OPENAI_API_BASE",
    "GPTME_OPENAI_BASE_URL",
    "GPTME_OPENAI_API_KEY",
)

HERE, THERE = "the server", "the other server"


@pytest.mark.parametrize(
    ("variables", "env", "where", "key"),
    [
        ({"OPENAI_BASE_URL": HERE, "OPENAI_API_KEY": "k"}, {}, HERE, "k"),
        ({"OPENAI_BASE_URL": HERE}, {}, HERE, "ollama"),
        ({"OPENAI_API_BASE": HERE}, {}, HERE, "ollama"),
        ({"OPENAI_API_BASE": HERE, "OPENAI_BASE_URL": THERE}, {}, HERE, "ollama"),
        ({"OPENAI_API_BASE": "", "OPENAI_BASE_URL": THERE}, {}, THERE, "ollama"),
        ({"OPENAI_BASE_URL": THERE, "GPTME_OPENAI_BASE_URL": HERE}, {}, HERE, "ollama"),
        ({"OPENAI_BASE_URL": HERE, "OPENAI_API_KEY": "k", "GPTME_OPENAI_API_KEY": "g"}, {}, HERE,
         "g"),
        ({}, {"OPENAI_BASE_URL": HERE, "OPENAI_API_KEY": "t"}, HERE, "t"),
        ({"OPENAI_API_KEY": "k"}, {"OPENAI_BASE_URL": HERE, "OPENAI_API_KEY": "t"}, HERE, "k"),
        ({"OPENAI_BASE_URL": THERE}, {"OPENAI_BASE_URL": HERE}, THERE, "ollama"),
    ],
)  # fmt: skip
def test_local_speaks_to_the_server_of_the_environment_with_its_key(
    variables: dict[str, str],
    env: dict[str, str],
    where: str,
    key: str,
    write: Write,
    server: Recorder,
    other_server: Recorder,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    urls = {HERE: f"{server.base_url}/", THERE: other_server.base_url}
    for name in LOCAL:
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, urls.get(value, value))
    monkeypatch.setenv("OPENAI_ORG_ID", "decoy")
    write("[env]\n" + "".join(f'{k} = "{urls.get(v, v)}"\n' for k, v in env.items()))
    used, unused = (server, other_server) if where == HERE else (other_server, server)

    assert sent_to(used, "local/org/model:7b") == f"Bearer {key}"

    assert used.only.body["model"] == "org/model:7b"
    assert used.only.path == "/v1/chat/completions"
    assert "openai-organization" not in used.only.headers
    assert unused.requests == []


def test_a_configured_provider_of_that_name_is_local_instead(
    write: Write, server: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    write(table(server, name="local"))

    assert sent_to(server, "local/m") == "Bearer default-key"


def notes(error: BaseException) -> str:
    return "\n".join(getattr(error, "__notes__", ()))


@pytest.mark.parametrize("status", [401, 403, 500])
def test_an_error_says_where_the_key_came_from_and_never_the_key(
    status: int, write: Write, server: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(DEFAULT, "sk-never-to-be-shown")
    write(table(server))
    server.fail(status)

    with pytest.raises(Exception, match="no") as caught:
        sent_to(server)

    said = str(caught.value) + repr(caught.value) + notes(caught.value)
    assert f"provider '{NAME}', base_url {server.base_url}, key ${DEFAULT} (default)" in said
    assert "sk-never-to-be-shown" not in said


def test_an_error_without_a_key_says_which_variable_was_looked_for(
    write: Write, server: Recorder
) -> None:
    write(table(server))
    server.fail(401)

    with pytest.raises(Exception, match="no") as caught:
        sent_to(server)

    assert f"no key (${DEFAULT} is not set)" in notes(caught.value)


PIECES = """/ // : openai/ azure/ responses/ * @cf/ %2F ? # é 模 my-server my-server/ . .. \\ " 🙂
\u0301 gpt-4o text-completion- ft: ~"""
TRICKY = st.sampled_from([*PIECES.split(), " "])


@pytest.fixture(scope="module")
def shared_server() -> Iterator[Recorder]:
    """One server for all examples of a property."""
    with recording_server() as recorder:
        yield recorder


@settings(deadline=None, max_examples=60)
@example(model="chat/completions/m")
@example(model="openai/openai/gpt-4o")
@example(model="openai/responses/m")
@example(model="responses/m")
@example(model="text-completion-openai/m")
@given(model=st.lists(TRICKY | st.text("ab1-_", min_size=1), min_size=1, max_size=5).map("".join))
def test_what_stands_after_the_first_slash_arrives_byte_for_byte(
    model: str, shared_server: Recorder, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "wire.toml"
    path.write_text(table(shared_server), encoding="utf-8")
    shared_server.requests.clear()

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ADAPTER_CONFIG", str(path))
        assert sent_to(shared_server, f"{NAME}/{model}") == "Bearer default-key"

    assert shared_server.only.path == "/v1/chat/completions"
    assert shared_server.only.body["model"].encode() == model.encode()
