"""Writes to the user's TOML: what was there stays, and the new text means what was asked for."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import tomli
import tomlkit
from hypothesis import given, settings
from hypothesis import strategies as st

from adapter.config.files import shared_file
from adapter.editing.edits import (
    Edit,
    edit,
    edit_all,
    merge_table,
    remove_provider,
    set_extras,
    set_provider,
)
from adapter.editing.writing import LOCK, TEMPORARY, locked, write_file
from adapter.errors import ConfigError

GROQ = {"name": "groq", "base_url": "https://api.groq.com/openai/v1", "api_key_env": "GROQ_KEY"}

SHAPES = {
    "empty": "",
    "comment only": "# nothing yet\n",
    "no newline at the end": '[env]\nA = "b"',
    "between": '[env]\nA = "b"\n\n[[providers]]  # one\nname = "a"\nbase_url = "http://a"\n\n[models]\n',
    "scattered": (
        '[[providers]]\nname = "a"\nbase_url = "http://a"\n\n[env]\nX = "1"  # x\n\n'
        '[[providers]]\nname = "b"\nbase_url = "http://b"\n\n[models]\ndefault = "a"\n'
    ),
    "inline": 'providers = [{name = "a", base_url = "http://a"}]\n',
    "dotted": 'models.default = "a"\nplugin.other.x = 1\n',
    "plugin before": "[plugin.other]\nx = 1\n\n[plugin.litellm.providers.groq]\ntimeout = 30 # s\n",
    "plugin inline": "plugin = {other = {x = 1}}\n",
    "odd names": (
        '[[providers]]\nname = "é \\"q\\""\nbase_url = "http://a"\n\n[plugin."a.b"]\n"c d" = 1\n'
    ),
    "string that looks like a header": (
        'x = """\n[[providers]]\n"""\n[[providers]]\nname = "a"\nbase_url = "http://a"\n'
    ),
}


def apply(document: Any) -> None:
    set_provider(document, GROQ)
    set_extras(document, "groq", {"timeout": 30, "extra_headers": {"X-Team": "blue"}})
    merge_table(document, ("plugin", "litellm", "router_settings"), {"num_retries": 2})


@pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf"], ids=["", "bom"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"], ids=["lf", "crlf"])
@pytest.mark.parametrize("shape", SHAPES)
def test_the_change_is_made_and_all_else_stays(
    tmp_path: Path, shape: str, newline: str, bom: bytes
) -> None:
    path = tmp_path / "gptme.toml"
    before = SHAPES[shape]
    raw = bom + before.replace("\n", newline).encode()
    path.write_bytes(raw)
    wanted = tomli.loads(before)
    apply(wanted)
    diff = edit(path, apply)
    after = path.read_bytes()
    assert after.startswith(bom)
    text = after.removeprefix(bom).decode()
    assert ("\r\n" in text) is (newline == "\r\n" and "\n" in before)
    text = text.replace("\r\n", "\n")
    assert tomli.loads(text) == wanted
    kept = [line for line in before.splitlines() if "#" in line]
    assert all(line in text for line in kept)
    if "inline" not in shape:  # there the line itself changes
        lines = iter(text.splitlines())
        assert all(line in lines for line in before.splitlines() if line.strip()), text
    assert diff


def test_editing_twice_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "gptme.toml"
    path.write_text(SHAPES["scattered"])
    edit(path, apply)
    stamp = path.stat().st_mtime_ns, path.read_bytes()
    assert edit(path, apply) == ""
    assert (path.stat().st_mtime_ns, path.read_bytes()) == stamp


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o644])
def test_the_mode_is_kept(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "gptme.toml"
    path.write_text("")
    path.chmod(mode)
    edit(path, apply)
    assert path.stat().st_mode & 0o777 == mode
    edit(path, lambda d: set_provider(d, {**GROQ, "default_model": "m"}), secret=True)
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_new_file_and_its_folder(tmp_path: Path) -> None:
    path = tmp_path / "new" / "gptme.toml"
    assert edit(path, apply, dry_run=True)
    assert not path.parent.exists()
    edit(path, apply)
    umask = os.umask(0)
    os.umask(umask)
    assert path.stat().st_mode & 0o777 == 0o666 & ~umask
    assert [p.name for p in path.parent.iterdir()] == ["gptme.toml"]


def test_through_a_link_the_file_itself_is_written(tmp_path: Path) -> None:
    real = tmp_path / "dotfiles" / "real.toml"
    real.parent.mkdir()
    real.write_text("# mine\n")
    link = tmp_path / "gptme.toml"
    link.symlink_to(real)
    edit(link, apply)
    assert link.is_symlink()
    assert "groq" in real.read_text()


def test_a_file_that_is_no_toml_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "gptme.toml"
    path.write_text("[broken\n")
    with pytest.raises(ConfigError, match=r"gptme\.toml:1"):
        edit(path, apply)
    assert path.read_text() == "[broken\n"


@pytest.mark.skipif(os.getuid() == 0, reason="root writes everywhere")
def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(ConfigError, match="cannot be written"):
        edit(tmp_path / "gptme.toml", apply)


def test_a_folder_in_place_of_the_file(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    (folder / "x.yaml").mkdir(parents=True)
    with pytest.raises(ConfigError, match="cannot be written"):
        write_file(folder / "x.yaml", "a")
    assert [p.name for p in folder.iterdir()] == ["x.yaml"]


def test_a_diff_shows_no_key(tmp_path: Path) -> None:
    path = tmp_path / "config.local.toml"
    path.write_text('[env]\nA = "canary-env"\n[[providers]]\nname = "a"\napi_key = "canary-old"\n')

    def change(document: Any) -> None:
        set_provider(document, {"name": "a", "api_key": "canary-new"})
        document["env"]["A"] = "canary-two"

    diff = edit(path, change, secret=True)
    assert "canary" not in diff
    assert 'api_key = "***"' in diff
    assert "canary-new" in path.read_text()


def test_two_writers_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "gptme.toml"
    code = (
        "import sys\nfrom adapter.editing.edits import edit, set_provider\n"
        "for n in range(20):\n"
        "    edit(sys.argv[1], lambda d: set_provider(d, "
        "{'name': f'{sys.argv[2]}{n}', 'base_url': 'http://h'}))\n"
    )
    writers = [subprocess.Popen([sys.executable, "-c", code, str(path), who]) for who in "abc"]
    assert [w.wait() for w in writers] == [0, 0, 0]
    names = {p["name"] for p in tomli.loads(path.read_text())["providers"]}
    assert names == {f"{who}{n}" for who in "abc" for n in range(20)}


VALUES = st.recursive(
    st.text(max_size=8) | st.integers(-(2**40), 2**40) | st.booleans(),
    lambda inner: (
        st.dictionaries(st.text(max_size=5), inner, max_size=3)
        | st.lists(st.integers(), max_size=3)
    ),
    max_leaves=5,
)
TABLES = st.dictionaries(
    st.sampled_from(["env", "models", "plugin", "x y", "é.z"]),
    st.dictionaries(st.text(max_size=5), VALUES, max_size=3),
    max_size=4,
)


@settings(max_examples=200, deadline=None)
@given(
    TABLES,
    st.lists(st.text(max_size=6), max_size=3, unique=True),
    st.text(max_size=6),
    st.dictionaries(st.text(max_size=5), VALUES, max_size=3),
)
def test_any_document_means_what_was_asked_for_or_is_left_alone(
    tables: dict[str, Any], names: list[str], name: str, extras: dict[str, Any]
) -> None:
    data = {**tables, "providers": [{"name": n, "base_url": "http://h"} for n in names]}
    text = tomlkit.dumps(data)
    path = Path("any.toml")
    path.write_text(text, encoding="utf-8")

    def change(document: Any) -> None:
        set_provider(document, {"name": name, "base_url": "http://new"})
        set_extras(document, name, extras)

    wanted = tomli.loads(text)
    try:
        change(wanted)
        edit(path, change)
    except (ConfigError, TypeError, AttributeError):
        assert path.read_text(encoding="utf-8") == text
    else:
        assert tomli.loads(path.read_text(encoding="utf-8")) == wanted


def test_where_new_providers_go(config_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert shared_file() == config_dir / "gptme.toml"
    (config_dir / "config.toml").write_text('[[providers]]\nname = "a"\nbase_url = "http://a"\n')
    assert shared_file() == config_dir / "config.toml"
    (config_dir / "config.local.toml").write_text('[[providers]]\nname = "a"\napi_key = "x"\n')
    assert shared_file() == config_dir / "config.toml"
    monkeypatch.setenv("ADAPTER_CONFIG", "/somewhere/mine.toml")
    assert shared_file() == Path("/somewhere/mine.toml")


ABOVE = """\
# my configuration

# account of Alice
[[providers]]
name = "a"
base_url = "http://a"

# account of Bob,
# ask before use
[[providers]]
name = "b"
base_url = "http://b"

# model settings below
[models]
default = "a"
"""


def test_a_comment_above_a_header_stays_with_it(tmp_path: Path) -> None:
    path = tmp_path / "gptme.toml"
    path.write_text(ABOVE)
    edit(path, lambda d: set_provider(d, {"name": "c", "base_url": "http://c"}))
    added = '[[providers]]\nname = "c"\nbase_url = "http://c"\n\n# model settings below\n[models]\n'
    assert path.read_text() == ABOVE.replace("# model settings below\n[models]\n", added)
    edit(path, lambda d: remove_provider(d, "c"))
    assert path.read_text() == ABOVE
    edit(path, lambda d: remove_provider(d, "b"))
    assert (
        path.read_text() == ABOVE.partition("# account of Bob")[0] + ABOVE[ABOVE.index("# mod") :]
    )
    path.write_text(ABOVE)
    edit(path, lambda d: remove_provider(d, "a"))
    assert path.read_text() == "# my configuration\n\n" + ABOVE[ABOVE.index("# account of Bob") :]


@pytest.mark.parametrize("end", ["", "\r\n", " # an account"])
def test_a_last_line_without_an_end(tmp_path: Path, end: str) -> None:
    path = tmp_path / "gptme.toml"
    path.write_bytes(f'[[providers]]\nname = "a"\nbase_url = "http://a"{end}'.encode())
    edit(path, apply)
    assert [p["name"] for p in tomli.loads(path.read_text())["providers"]] == ["a", "groq"]
    assert end.strip() in path.read_text()


@pytest.mark.parametrize("header", ["[[providers]]", "# comment\n[[providers]]\n[models]"])
def test_a_header_inside_a_string_is_none(tmp_path: Path, header: str) -> None:
    path = tmp_path / "gptme.toml"
    text = f'[prompt]\nx = """\n{header}\nname = "no"\n"""\n'
    path.write_text(text + '[[providers]]\nname = "a"\nbase_url = "http://a"\n')
    edit(path, apply)
    assert path.read_text().startswith(text)
    assert len(tomli.loads(path.read_text())["providers"]) == 2


def test_several_files_are_written_all_or_none(tmp_path: Path) -> None:
    first, second = tmp_path / "one.toml", tmp_path / "two" / "two.toml"
    first.write_text("")
    second.parent.write_text("no folder")
    with pytest.raises(ConfigError, match="cannot be"):
        edit_all([Edit(first, apply), Edit(second, apply)])
    assert first.read_text() == ""
    second.parent.unlink()
    diffs = edit_all([Edit(first, apply), Edit(second, apply, secret=True)])
    assert list(diffs) == [str(first), str(second)]
    assert first.read_text() == second.read_text() != ""
    assert second.stat().st_mode & 0o777 == 0o600
    assert not list(tmp_path.glob("**/.*"))


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a file away")
def test_the_owner_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "gptme.toml"
    path.write_text("")
    os.chown(path, 1234, 1235)
    edit(path, apply)
    assert (path.stat().st_uid, path.stat().st_gid) == (1234, 1235)


def test_a_lock_that_is_never_given_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("adapter.editing.writing.LOCK_SECONDS", 0.05)
    handle = os.open(tmp_path / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(handle, fcntl.LOCK_EX)
    try:
        with pytest.raises(ConfigError, match="another program has been writing in"):
            edit(tmp_path / "gptme.toml", apply)
    finally:
        os.close(handle)
    edit(tmp_path / "gptme.toml", apply)
    assert not list(tmp_path.glob(".*"))


def test_who_can_read_the_folder_cannot_block_a_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("adapter.editing.writing.LOCK_SECONDS", 0.05)
    handle = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)
    try:
        edit(tmp_path / "gptme.toml", apply)
    finally:
        os.close(handle)


def test_the_lock_is_private(tmp_path: Path) -> None:
    with locked(tmp_path / "x"):
        assert (tmp_path / LOCK).stat().st_mode & 0o777 == 0o600
    assert not list(tmp_path.glob(".*"))


def test_what_looks_like_a_temporary_file_of_old_is_the_users(tmp_path: Path) -> None:
    mine = tmp_path / ".gptme.toml.20261130"
    mine.write_text("a copy of mine")
    folder = tmp_path / f"{TEMPORARY}abcdefgh"
    folder.mkdir()
    left = tmp_path / f"{TEMPORARY}12345678"
    left.write_text("left by a killed writer")
    edit(tmp_path / "gptme.toml", apply)
    assert sorted(tmp_path.glob(".*")) == sorted([mine, folder])


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a file away")
def test_files_of_another_user_stop_nothing(tmp_path: Path) -> None:
    others = [tmp_path / f"{TEMPORARY}12345678", tmp_path / LOCK]
    for path in others:
        path.write_text("")
        os.chown(path, 1234, 1234)
    write_file(tmp_path / "out.yaml", "text")
    assert sorted(tmp_path.glob(".*")) == sorted(others)
    assert (tmp_path / "out.yaml").read_text() == "text"


def test_a_full_disk_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"No space left on device\n *fix: free some space"):
        write_file("/dev/full", "text")


def test_a_diff_hides_keys_that_are_commented_out(tmp_path: Path) -> None:
    path = tmp_path / "gptme.toml"
    path.write_text('# api_key = "sk-old-canary"\n# name = "x"\n[env] # KEY = "canary"\n')
    diff = edit(path, apply)
    assert '# api_key = "***"' in diff
    assert '# name = "x"' in diff
    assert "canary" not in diff


def test_a_large_table(tmp_path: Path) -> None:
    path = tmp_path / "gptme.toml"
    path.write_text("[models] # mine\n")
    aliases = {f'm "{n}"\n': f"groq/é{n}" for n in range(1000)}
    settings = {"model_group_alias": aliases, "num_retries": 2}

    def change(document: Any) -> None:
        merge_table(document, ("plugin", "litellm", "router_settings"), settings)

    edit(path, change)
    data = tomli.loads(path.read_text(encoding="utf-8"))
    assert data == {"models": {}, "plugin": {"litellm": {"router_settings": settings}}}
    assert edit(path, change) == ""
