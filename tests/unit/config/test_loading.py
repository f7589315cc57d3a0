"""The configuration: how files merge, when they are read again, and that reading writes nothing."""

from __future__ import annotations

import os
import pickle
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import tomli
import tomlkit
from hypothesis import given, settings
from hypothesis import strategies as st

from adapter import Config, ConfigError, UnknownProviderError, load_config

Write = Callable[..., Path]

SECRET = "sk-never-to-be-shown"

NAMES = ("config.toml", "gptme.toml", "config.local.toml")


def provider(name: str = "p", **fields: str) -> str:
    """Return a [[providers]] table."""
    table = {"name": name, "base_url": "https://h/v1", **fields}
    return "[[providers]]\n" + "".join(f'{k} = "{v}"\n' for k, v in table.items())


def names(config: Config) -> list[str]:
    return [p.name for p in config.providers]


def test_no_file_at_all_is_an_empty_configuration() -> None:
    config = load_config()

    assert config.providers == ()
    assert config.files == ()
    assert config.warnings == ()
    assert config.default_model is None


def test_the_specifications_example_is_read(write: Write) -> None:
    write(
        '[[providers]]\nname = "vllm-local"\nbase_url = "http://localhost:8000/v1"\n'
        'default_model = "meta-llama/Llama-3.1-8B"\n\n'
        '[[providers]]\nname = "groq"\nbase_url = "https://api.groq.com/openai/v1"\n'
        'api_key_env = "GROQ_API_KEY"\ndefault_model = "llama-3.1-70b-versatile"\n'
    )

    vllm, groq = load_config().providers

    assert (vllm.name, vllm.base_url) == ("vllm-local", "http://localhost:8000/v1")
    assert (vllm.api_key, vllm.api_key_env) == (None, None)
    assert vllm.default_model == "meta-llama/Llama-3.1-8B"
    assert groq.api_key_env == "GROQ_API_KEY"


def test_later_files_win_field_by_field_and_new_names_come_after(
    write: Write, config_dir: Path
) -> None:
    write(provider("a", default_model="old", api_key_env="A") + provider("b"), "config.toml")
    write(provider("c", default_model="c") + provider("a", default_model="new"), "gptme.toml")
    write('[[providers]]\nname = "b"\napi_key = "secret"\n', "config.local.toml")

    config = load_config()

    assert names(config) == ["a", "b", "c"]
    assert config.provider("a").default_model == "new"
    assert config.provider("a").api_key_env == "A"
    assert config.provider("b").api_key == "secret"
    assert config.provider("b").base_url == "https://h/v1"
    paths = [str(config_dir / name) for name in NAMES]
    assert config.files == tuple(paths)
    assert config.provider("a").origin == (paths[0], paths[1])
    assert config.provider("b").origin == (paths[0], paths[2])
    assert config.provider("c").origin == (paths[1],)


def test_other_tables_merge_key_by_key(write: Write) -> None:
    write(
        provider() + '[env]\nA = "1"\nB = "1"\n[models]\ndefault = "p/old"\n'
        "[plugin.litellm.providers.p]\ntimeout = 1\nextra_headers = { X = '1', Y = '1' }\n"
        "[plugin.litellm.router_settings]\nnum_retries = 1\nallowed_fails = 1\n",
        "config.toml",
    )
    write(
        '[env]\nB = "2"\nC = 3\n[models]\ndefault = "p/new"\n'
        "[plugin.litellm.providers.p]\nmax_tokens = 2\nextra_headers = { Y = '2' }\n"
        "[plugin.litellm.router_settings]\nnum_retries = 2\n"
        "[plugin.litellm.general_settings]\nmaster_key = 'k'\n",
        "config.local.toml",
    )

    config = load_config()

    assert config.env == {"A": "1", "B": "2", "C": "3"}
    assert config.default_model == "p/new"
    assert config.provider("p").extras == {
        "timeout": 1,
        "max_tokens": 2,
        "extra_headers": {"X": "1", "Y": "2"},
    }
    assert config.settings == {
        "router_settings": {"num_retries": 2, "allowed_fails": 1},
        "general_settings": {"master_key": "k"},
    }


def test_an_empty_field_is_as_good_as_none(write: Write) -> None:
    write(provider(api_key="k", api_key_env="E", default_model="m"), "config.toml")
    write('[[providers]]\nname = "p"\napi_key = ""\ndefault_model = ""\n', "config.local.toml")

    (found,) = load_config().providers

    assert (found.api_key, found.api_key_env, found.default_model) == (None, "E", None)


@contextmanager
def files(contents: Sequence[Mapping[str, Any]]) -> Iterator[None]:
    """Put each of ``contents`` into a file of gptme's, lowest precedence first."""
    with TemporaryDirectory() as home, pytest.MonkeyPatch.context() as patch:
        folder = Path(home, "gptme")
        folder.mkdir()
        for name, data in zip(NAMES, contents, strict=False):
            path = folder / name
            path.write_text(tomlkit.dumps(data), encoding="utf-8")
            path.chmod(0o600)
        patch.setenv("XDG_CONFIG_HOME", home)
        yield


VALUE = st.text("abc/:-. \u00e9", max_size=5)
TABLE = st.fixed_dictionaries(
    {"name": st.sampled_from("abcd")},
    optional={
        "base_url": st.integers(1, 9).map(lambda n: f"https://h{n}/v1"),
        "api_key": VALUE,
        "api_key_env": st.sampled_from(["", "V1", "V2"]),
        "default_model": VALUE,
    },
)
# One name may stand in several files but only once in each.
PROVIDERS = st.lists(TABLE, max_size=4, unique_by=lambda table: table["name"])


@settings(deadline=None)
@given(per_file=st.lists(PROVIDERS, min_size=1, max_size=3))
def test_merging_is_by_name_field_by_field_later_over_earlier_in_order_of_appearance(
    per_file: list[list[dict[str, str]]],
) -> None:
    stated = [
        (t["name"], field, v) for tables in per_file for t in tables for field, v in t.items()
    ]
    order = list(dict.fromkeys(name for name, _, _ in stated))
    urls = {name for name, field, _ in stated if field == "base_url"}
    base = [{"name": name, "base_url": "https://first/v1"} for name in order if name not in urls]

    def last(name: str, field: str) -> str | None:
        """The oracle: what the last statement about this field of this provider says."""
        said = [v for n, f, v in stated if (n, f) == (name, field)]
        return (said[-1] or None) if said else None

    # what has no base_url gets one in the last file, where it changes no order
    contents = [{"providers": tables} for tables in per_file]
    for table in base:
        known = next((t for t in contents[-1]["providers"] if t["name"] == table["name"]), None)
        if known is None:
            contents[-1]["providers"].append(table)
        else:
            known["base_url"] = table["base_url"]
    with files(contents):
        config = load_config()

    assert names(config) == order
    for found in config.providers:
        assert found.base_url == (last(found.name, "base_url") or "https://first/v1")
        for field in ("api_key", "api_key_env", "default_model"):
            assert getattr(found, field) == last(found.name, field), field


LEAF = st.integers(0, 99) | st.text("ab", max_size=2) | st.lists(st.integers(0, 9), max_size=2)
TREE: st.SearchStrategy[Any] = st.recursive(
    LEAF,
    lambda inner: st.dictionaries(st.sampled_from("xyz"), inner, min_size=1, max_size=3),
    max_leaves=6,
)
EXTRAS = st.dictionaries(st.sampled_from("xyz"), TREE, min_size=1, max_size=3)


def leaves(tree: Mapping[str, Any], above: tuple[str, ...] = ()) -> Iterator[tuple[Any, ...]]:
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from leaves(value, (*above, key))
        else:
            yield (*above, key), value


@settings(deadline=None)
@given(per_file=st.lists(EXTRAS, min_size=1, max_size=3))
def test_tables_merge_key_by_key_at_every_depth(per_file: list[dict[str, Any]]) -> None:
    """The oracle knows no recursion: each leaf of a later file displaces what is in its way."""
    expected: dict[tuple[str, ...], Any] = {}
    for tree in per_file:
        for path, value in leaves(tree):
            ways = [p for p in expected if p[: len(path)] == path or path[: len(p)] == p]
            for way in ways:
                del expected[way]
            expected[path] = value

    ours = [{"plugin": {"litellm": {"providers": {"p": tree}}}} for tree in per_file]
    ours[0]["providers"] = [{"name": "p", "base_url": "https://h/v1"}]  # type: ignore[assignment]
    with files(ours):
        (found,) = load_config().providers

    assert dict(leaves(found.extras)) == expected


@settings(deadline=None)
@given(
    per_file=st.lists(
        st.dictionaries(st.sampled_from(["A", "B", "C"]), st.text("ab", max_size=2), max_size=3),
        min_size=1,
        max_size=3,
    )
)
def test_variables_of_later_files_win(per_file: list[dict[str, str]]) -> None:
    expected = {k: v for table in per_file for k, v in table.items()}

    with files([{"env": table} for table in per_file]):
        config = load_config()

    assert config.env == expected


def test_one_named_file_is_read_and_no_other(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(provider("default"))
    given_path, variable = tmp_path / "given.toml", tmp_path / "variable.toml"
    given_path.write_text(provider("given"))
    variable.write_text(provider("variable"))

    assert names(load_config()) == ["default"]
    assert names(load_config(given_path)) == ["given"]
    monkeypatch.setenv("ADAPTER_CONFIG", str(variable))
    assert names(load_config()) == ["variable"]
    assert names(load_config(str(given_path))) == ["given"]
    assert load_config().files == (str(variable),)


def test_a_named_file_that_is_absent_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigError, match="no such file"):
        load_config(tmp_path / "absent.toml")
    monkeypatch.setenv("ADAPTER_CONFIG", "absent.toml")
    with pytest.raises(ConfigError, match="no such file"):
        load_config()


def test_what_is_said_of_models_the_worker_and_a_gateway_is_merged(write: Write) -> None:
    write(
        provider() + '[plugin.litellm.models."p/m"]\nmode = "chat"\nsupports_vision = true\n'
        "[plugin.litellm.worker]\nidle_minutes = 3\n[plugin.litellm.gateway]\nroutes = 'all'\n",
        "config.runtime.toml",
    )
    write('[plugin.litellm]\nmodels = { "p/m" = { mode = "responses" } }\nworker.mode = "on"\n')

    config = load_config()

    assert config.models == {"p/m": {"mode": "responses", "supports_vision": True}}
    assert config.settings == {
        "worker": {"idle_minutes": 3, "mode": "on"},
        "gateway": {"routes": "all"},
    }
    assert not config.warnings


@pytest.mark.parametrize("name", [*NAMES, ".env", ".config/gptme/gptme.toml"])
def test_nothing_in_the_working_folder_is_read(name: str) -> None:
    """A cloned repository must not be able to redirect a key."""
    path = Path.cwd() / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(provider("evil") if name.endswith("toml") else "P_API_KEY=evil\n")

    config = load_config()

    assert config.providers == ()
    assert config.getenv("P_API_KEY") is None


@pytest.mark.parametrize("kind", ["directory", "fifo", "loop"])
@pytest.mark.timeout(20)
def test_what_is_no_file_in_the_place_of_one_is_an_error(kind: str, config_dir: Path) -> None:
    path = config_dir / "gptme.toml"
    if kind == "directory":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    else:
        path.symlink_to(path)

    with pytest.raises(ConfigError) as caught:
        load_config()

    (problem,) = caught.value.problems
    assert problem.path == str(path)


def snapshot(folder: Path) -> dict[str, tuple[object, ...]]:
    """Return what can be seen of a folder: names, content, times, modes and inodes."""
    seen: dict[str, tuple[object, ...]] = {}
    for path in [folder, *sorted(folder.rglob("*"))]:
        info = path.stat()
        content = path.read_bytes() if path.is_file() else None
        seen[str(path)] = (content, info.st_mtime_ns, info.st_ctime_ns, info.st_mode, info.st_ino)
    return seen


@pytest.mark.parametrize(
    "texts",
    [
        [provider()],
        [provider(api_key="k"), provider("b"), '[env]\nA = "b"\n'],
        ["\ufeff# a comment\r\n" + provider().replace("\n", "\r\n") + "\r\n\r\n"],
        ["[unknown]\na = 1\n" + provider(unknown="x")],
        ["broken ="],
        [],
    ],
    ids=["one", "three", "bom and crlf", "unknown", "broken", "none"],
)
def test_reading_writes_nothing(texts: list[str], write: Write, tmp_path: Path) -> None:
    """Neither into the files (gptme itself rewrites them) nor beside them, nor anywhere near."""
    for text, name in zip(texts, NAMES, strict=False):
        write(text, name)
    before = snapshot(tmp_path)

    for _ in range(2):
        try:
            load_config()
        except ConfigError:
            assert texts == ["broken ="]

    assert snapshot(tmp_path) == before


def look_after(path: Path, milliseconds: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on it is so long after the last change of ``path``."""
    looked = path.stat().st_ctime_ns + milliseconds * 10**6
    monkeypatch.setattr(time, "time_ns", lambda: looked)


@pytest.mark.usefixtures("written_long_ago")
def test_an_unchanged_configuration_is_not_read_again(write: Write) -> None:
    write(provider())

    assert load_config() is load_config()


@pytest.mark.parametrize("milliseconds", [-16, 0, 16])
def test_one_that_has_just_changed_may_change_again_unseen(
    write: Write, monkeypatch: pytest.MonkeyPatch, milliseconds: int
) -> None:
    """Within one step of the clock that dates it: so it is read once more."""
    path = write(provider())
    look_after(path, milliseconds, monkeypatch)
    read = load_config()
    assert read.has_changed()
    look_after(path, 100, monkeypatch)
    assert load_config() is not read
    assert not load_config().has_changed()


def test_one_of_the_future_is_not_read_at_each_look(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a file server whose clock is ahead."""
    look_after(write(provider()), -60_000, monkeypatch)

    assert load_config() is load_config()


def test_a_changed_file_is_noticed(write: Write) -> None:
    write(provider("a"))
    assert names(load_config()) == ["a"]
    write(provider("longer"))
    assert names(load_config()) == ["longer"]


def test_a_rewrite_of_the_same_size_and_time_is_noticed(write: Write) -> None:
    """Within one second, and even with the modification time put back (``cp -p``, ``rsync -t``)."""
    path = write(provider("a"))
    info = path.stat()
    assert names(load_config()) == ["a"]

    path.write_text(provider("b"))
    os.utime(path, ns=(info.st_atime_ns, info.st_mtime_ns))

    assert (path.stat().st_size, path.stat().st_mtime_ns) == (info.st_size, info.st_mtime_ns)
    assert names(load_config()) == ["b"]


def test_a_replaced_file_is_noticed(write: Write, tmp_path: Path) -> None:
    """As editors save: another file is moved into its place, here with the same size and time."""
    path = write(provider("a"))
    info = path.stat()
    assert names(load_config()) == ["a"]

    other = tmp_path / "other.toml"
    other.write_text(provider("b"))
    os.utime(other, ns=(info.st_atime_ns, info.st_mtime_ns))
    other.replace(path)

    assert names(load_config()) == ["b"]


def test_a_file_that_appears_or_goes_is_noticed(write: Write) -> None:
    assert names(load_config()) == []
    write(provider("a"), "config.toml")
    assert names(load_config()) == ["a"]
    path = write(provider("b"), "config.local.toml")
    assert names(load_config()) == ["a", "b"]
    path.unlink()
    assert names(load_config()) == ["a"]


@pytest.mark.skipif(os.name == "nt", reason="links need a privilege on Windows")
def test_a_file_at_the_end_of_a_link_that_appears_is_noticed(write: Write, tmp_path: Path) -> None:
    folder = write(provider("a"), "config.toml").parent
    (folder / "gptme.toml").symlink_to(tmp_path / "elsewhere.toml")
    assert names(load_config()) == ["a"]
    (tmp_path / "elsewhere.toml").write_text(provider("b"))
    assert names(load_config()) == ["a", "b"]


def test_a_changed_mode_is_noticed(write: Write) -> None:
    path = write(provider(api_key="k"))
    assert load_config().warnings == ()
    path.chmod(0o644)
    assert len(load_config().warnings) == 1
    path.chmod(0o600)
    assert load_config().warnings == ()


def test_a_file_that_breaks_and_is_mended_is_noticed_each_time(write: Write) -> None:
    write(provider("a"))
    load_config()
    write("broken =")
    for _ in range(2):
        with pytest.raises(ConfigError):
            load_config()
    write(provider("b"))
    assert names(load_config()) == ["b"]


def test_a_change_while_the_file_is_being_read_is_noticed(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was read belongs to the file as it was: it is read again at once."""
    write(provider("before"))
    parse = tomli.loads

    def parse_while_it_changes(text: str) -> dict[str, Any]:
        monkeypatch.setattr(tomli, "loads", parse)
        write(provider("after"))
        return parse(text)

    monkeypatch.setattr(tomli, "loads", parse_while_it_changes)

    assert names(load_config()) == ["after"]


def test_threads_see_whole_configurations_and_in_the_end_the_last(
    write: Write, config_dir: Path, tmp_path: Path
) -> None:
    def text(number: int) -> str:
        return provider("a", default_model=f"m{number}") + provider("b", default_model=f"m{number}")

    write(text(0))
    stop = threading.Event()

    def read() -> set[tuple[str | None, ...]]:
        seen = set()
        while not stop.is_set():
            seen.add(tuple(p.default_model for p in load_config().providers))
        return seen

    with ThreadPoolExecutor(8) as pool:
        readers = [pool.submit(read) for _ in range(8)]
        try:
            for number in range(1, 50):
                new = tmp_path / "new.toml"
                new.write_text(text(number))
                new.chmod(0o600)
                new.replace(config_dir / "gptme.toml")
                load_config()
        finally:
            stop.set()

    seen = set().union(*(reader.result() for reader in readers))
    assert seen <= {(f"m{n}", f"m{n}") for n in range(50)}
    assert [p.default_model for p in load_config().providers] == ["m49", "m49"]


def test_a_provider_is_found_by_exactly_its_name(write: Write) -> None:
    write(provider("groq") + provider("other"))
    config = load_config()

    assert config.find("groq") is config.providers[0]
    assert config.provider("other") is config.providers[1]
    for name in ("Groq", "gro", "groq ", ""):
        assert config.find(name) is None
        with pytest.raises(UnknownProviderError):
            config.provider(name)
    with pytest.raises(UnknownProviderError, match="did you mean 'groq'"):
        config.provider("grok")


def test_a_variable_is_the_processs_before_the_tables(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    write('[env]\nX = "table"\n')
    config = load_config()

    assert config.getenv("X") == "table"
    monkeypatch.setenv("X", "bare")
    assert config.getenv("X") == "bare"
    monkeypatch.setenv("GPTME_X", "prefixed")
    assert config.getenv("X") == "prefixed"
    assert config.getenv("X", environ={}) == "table"
    assert config.getenv("Y") is None


def test_a_configuration_shows_no_key(write: Write) -> None:
    write(
        provider(api_key=SECRET) + f'[env]\nA_API_KEY = "{SECRET}"\n'
        f'[plugin.litellm.providers.p]\nextra_headers = {{ X = "{SECRET}" }}\n'
        f'[plugin.litellm.general_settings]\nmaster_key = "{SECRET}"\n'
    )
    config = load_config()

    assert SECRET not in repr(config)
    assert SECRET not in repr(config.env)
    assert SECRET not in repr(config.providers[0].env)
    assert "name='p'" in repr(config)
    with pytest.raises(TypeError):
        pickle.dumps(config)
