"""Configuration files: which are read, in what order, and that no file in their place can harm."""

from __future__ import annotations

import os
from pathlib import Path
from unittest import mock

import pytest

from adapter.config.files import MAX_BYTES, Document, config_paths, read_document
from adapter.errors import Problem

SECRET = "sk-never-to-be-shown"

NAMES = ["config.runtime.toml", "config.toml", "gptme.toml", "config.local.toml"]


def read(path: Path | str, required: bool = False) -> Document | Problem | None:
    return read_document(str(path), required=required)


def paths_in(environ: dict[str, str], path: Path | str | None = None) -> tuple[list[str], bool]:
    with mock.patch.dict(os.environ, environ, clear=True):
        paths, named = config_paths(path)
    return list(paths), named


def problem_at(path: Path | str) -> Problem:
    found = read(path)
    assert isinstance(found, Problem)
    assert found.path == str(path)
    assert found.fix
    return found


def document_of(path: Path, content: bytes) -> Document:
    path.write_bytes(content)
    found = read(path)
    assert isinstance(found, Document)
    return found


@pytest.mark.parametrize(
    ("environ", "folder"),
    [
        ({"XDG_CONFIG_HOME": "/x", "HOME": "/h"}, "/h/.config/gptme"),  # there is no such folder
        ({"HOME": "/h"}, "/h/.config/gptme"),
        ({"XDG_CONFIG_HOME": "", "HOME": "/h"}, "/h/.config/gptme"),
        ({"XDG_CONFIG_HOME": "relative", "HOME": "/h"}, "/h/.config/gptme"),
    ],
)
def test_the_default_files_are_gptmes_lowest_precedence_first(
    environ: dict[str, str], folder: str
) -> None:
    paths, named = paths_in(environ)

    assert paths == [f"{folder}/{name}" for name in NAMES]
    assert not named


def test_a_folder_in_xdg_config_home_counts_once_it_is_there(tmp_path: Path) -> None:
    environ = {"XDG_CONFIG_HOME": str(tmp_path), "HOME": "/h"}
    (tmp_path / "gptme").touch()
    assert paths_in(environ)[0][0] == "/h/.config/gptme/config.runtime.toml"
    (tmp_path / "gptme").unlink()
    (tmp_path / "gptme").mkdir()

    assert paths_in(environ)[0] == [f"{tmp_path}/gptme/{name}" for name in NAMES]


def test_without_a_home_variable_the_users_own_folder_is_used() -> None:
    paths, _ = paths_in({})

    with mock.patch.dict(os.environ, clear=True):
        assert paths[0] == str(Path("~/.config/gptme/config.runtime.toml").expanduser())


@pytest.mark.parametrize(
    ("path", "variable", "expected"),
    [
        ("/a.toml", None, "/a.toml"),
        ("/a.toml", "/b.toml", "/a.toml"),
        (Path("/a.toml"), None, "/a.toml"),
        (None, "/b.toml", "/b.toml"),
        (None, "~/b.toml", "~/b.toml"),
        ("~/a.toml", None, "~/a.toml"),
        ("a.toml", None, "./a.toml"),
        ("", "/b.toml", "."),
    ],
)
def test_a_named_file_is_read_alone(path: str | None, variable: str | None, expected: str) -> None:
    environ = {"HOME": "/h", **({"ADAPTER_CONFIG": variable} if variable else {})}

    with mock.patch.dict(os.environ, environ, clear=True):
        absolute = str(Path(expected).expanduser().absolute())
    assert paths_in(environ, path) == ([absolute], True)


def test_an_empty_variable_names_no_file() -> None:
    _, named = paths_in({"ADAPTER_CONFIG": "", "HOME": "/h"})

    assert not named


@pytest.mark.parametrize("name", ["absent.toml", "no/such/folder.toml", "file/below.toml"])
def test_an_absent_file_is_a_problem_only_where_it_was_asked_for(name: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    path = tmp_path / name

    assert read(path) is None
    found = read(path, required=True)
    assert isinstance(found, Problem)
    assert (found.path, found.line, found.message) == (str(path), None, "no such file")
    assert "--config" in found.fix


@pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf"], ids=["plain", "bom"])
@pytest.mark.parametrize("end", [b"\n", b"\r\n"], ids=["lf", "crlf"])
def test_a_file_is_utf8_with_or_without_bom_and_with_either_line_end(
    bom: bytes, end: bytes, tmp_path: Path
) -> None:
    lines = ["# ä", "[[providers]]", 'name = "ünï"', 'base_url = "https://h/v1"', ""]
    found = document_of(tmp_path / "c.toml", bom + end.join(line.encode() for line in lines))

    assert found.data == {"providers": [{"name": "ünï", "base_url": "https://h/v1"}]}
    assert found.line("providers", 0) == 2
    assert found.line("providers", 0, "base_url") == 4


def test_an_empty_file_is_a_document(tmp_path: Path) -> None:
    assert document_of(tmp_path / "c.toml", b"").data == {}


@pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf"], ids=["plain", "bom"])
@pytest.mark.parametrize("end", [b"\n", b"\r\n"], ids=["lf", "crlf"])
@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b'name = "caf\xe9"', "not valid UTF-8"),
        (b"\xff\xfe", "not valid UTF-8"),
        (b"name = ", "not valid TOML"),
        (b"name", "not valid TOML"),
        (b'name = "open', "not valid TOML"),
        (b"[open", "not valid TOML"),
        (b"a = 1\x00", "not valid TOML"),
        (b"first = 2", "not valid TOML"),
    ],
)
def test_a_broken_file_is_reported_with_the_line(
    line: bytes, message: str, end: bytes, bom: bytes, tmp_path: Path
) -> None:
    path = tmp_path / "c.toml"
    path.write_bytes(bom + end.join([b"first = 1", b"", line, b"", b"# last"]))

    found = problem_at(path)

    assert found.line == 3
    assert found.message.startswith(message)
    assert "(at line" not in found.message


def test_a_string_that_never_ends_is_reported_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.write_bytes(b'a = """\nb\nc')

    assert problem_at(path).line == 3


@pytest.mark.parametrize(
    "content",
    [b"a = " + b"[" * 100_000, b"a = " + b"9" * 100_000, b"a" + b".a" * 100_000 + b" = 1"],
    ids=["brackets", "digits", "dots"],
)
def test_a_file_that_would_exhaust_the_parser_is_a_problem(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.write_bytes(content)

    assert "TOML" in problem_at(path).message


def test_a_file_too_large_for_a_configuration_is_refused_unparsed(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.write_bytes(b"#" * MAX_BYTES)
    assert isinstance(read(path), Document)

    path.write_bytes(b"#" * (MAX_BYTES + 1))
    assert "4,194,305 bytes is too large" in problem_at(path).message


def test_a_directory_is_not_a_configuration(tmp_path: Path) -> None:
    (tmp_path / "c.toml").mkdir()

    assert problem_at(tmp_path / "c.toml").message == "not a regular file"


@pytest.mark.timeout(20)
@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no FIFOs on this system")
def test_a_fifo_does_not_hang(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    os.mkfifo(path)

    assert problem_at(path).message == "not a regular file"


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="no /dev/zero on this system")
def test_a_device_is_not_read() -> None:
    assert problem_at("/dev/zero").message == "not a regular file"


def test_a_symlink_loop_is_a_problem(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.symlink_to(path)

    assert problem_at(path).message.startswith("cannot be read: ")


def test_a_symlink_to_a_file_is_followed_and_a_dangling_one_is_absent(tmp_path: Path) -> None:
    link = tmp_path / "c.toml"
    link.symlink_to(tmp_path / "target.toml")
    assert read(link) is None

    (tmp_path / "target.toml").write_text("a = 1\n")
    found = read(link)
    assert isinstance(found, Document)
    assert found.data == {"a": 1}


@pytest.mark.parametrize("name", ["a\0b", "n" * 300], ids=["nul", "too long"])
def test_a_path_the_system_refuses_is_a_problem(name: str, tmp_path: Path) -> None:
    assert problem_at(f"{tmp_path}/{name}").message.startswith("cannot be read: ")


def test_a_file_without_permission_is_a_problem(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.write_text("")
    path.chmod(0)
    if os.access(path, os.R_OK):
        pytest.skip("this user reads every file")

    assert problem_at(path).message.startswith("cannot be read: ")


def test_a_document_does_not_show_its_text(tmp_path: Path) -> None:
    found = document_of(tmp_path / "c.toml", f'api_key = "{SECRET}"\n'.encode())

    assert SECRET not in repr(found)
    assert "c.toml" in repr(found)


SPELLINGS = """\
# [[providers]] in a comment is not one
[models]
default = "x"  # \u2028 and \u0085 end no line in TOML

[[providers]]
name = "a"
"base_url" = "https://a/v1"

[ [ providers ] ]
   name="b"
'api_key_env' = "B"
[plugin.litellm.providers.b]
timeout = 3
[ plugin . "litellm" ]  # [x]
worker.mode = "on"
models."b/x-1.5".mode = "chat"
""".replace("[ [ providers ] ]", "[[ providers ]]")


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("models",), 2),
        (("models", "default"), 3),
        (("models", "other"), 2),
        (("plugin",), 12),
        (("absent",), None),
        (("providers",), 5),
        (("providers", 0), 5),
        (("providers", 0, "name"), 6),
        (("providers", 0, "base_url"), 7),
        (("providers", 0, "api_key_env"), 5),
        (("providers", 1), 9),
        (("providers", 1, "name"), 10),
        (("providers", 1, "api_key_env"), 11),
        (("providers", 1, "timeout"), 9),
        (("providers", 2, "name"), 5),
        (("plugin", "litellm", "providers", "b", "timeout"), 13),
        (("plugin", "litellm", "providers", "b", "rpm"), 12),
        (("plugin", "litellm", "models", "b/x-1.5", "mode"), 16),
        (("plugin", "litellm", "worker", "mode"), 15),
    ],
)
def test_a_thing_is_found_on_its_line_or_the_nearest_enclosing_one(
    path: tuple[str | int, ...], line: int | None, tmp_path: Path
) -> None:
    found = document_of(tmp_path / "c.toml", SPELLINGS.encode())

    assert found.line(*path) == line


def test_providers_written_inline_are_found_on_the_line_of_the_array(tmp_path: Path) -> None:
    found = document_of(tmp_path / "c.toml", b'a = 1\nproviders = [{name = "p"}, {name = "q"}]\n')

    assert [found.line("providers", 0, "name"), found.line("providers", 1)] == [2, 2]
