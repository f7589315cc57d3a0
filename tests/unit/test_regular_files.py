"""Reading what stands in a file's place, and the XDG base folders."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import pytest

from adapter._files import (
    NotRegularError,
    open_regular,
    read_regular,
    reason,
    write_access,
    xdg_folder,
)


def socket_at(path: Path) -> None:
    import socket

    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))


@pytest.mark.parametrize(
    "make",
    [os.mkdir, os.mkfifo, socket_at, lambda path: path.symlink_to("/dev/zero")],
    ids=["folder", "FIFO", "socket", "device"],
)
def test_only_a_regular_file_is_opened(make: Callable[[Path], None], tmp_path: Path) -> None:
    make(path := tmp_path / "f")

    with pytest.raises(NotRegularError) as caught:
        read_regular(path, 10)

    assert reason(caught.value) == "not a regular file"


def test_one_byte_over_the_limit_is_read_to_tell_that_there_is_more(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"0123456789")

    assert read_regular(path, 10)[0] == b"0123456789"
    content, info = read_regular(path, 3)
    assert (content, info.st_size) == (b"0123", 10)


def test_a_link_is_followed_unless_it_must_not_be(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"content")
    (link := tmp_path / "link").symlink_to("f")

    assert read_regular(link, 10)[0] == b"content"
    with pytest.raises(OSError, match="not a regular file"):
        open_regular(link, follow_links=False)
    with open_regular(tmp_path / "f", follow_links=False) as file:
        assert file.read() == b"content"


def test_a_reason_has_no_path_and_no_number(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file") as caught:
        open_regular(tmp_path / "none")

    assert reason(caught.value) == "No such file or directory"
    assert reason(ValueError("embedded null byte")) == "embedded null byte"


@pytest.mark.parametrize(
    ("environ", "folder"),
    [
        ({"A": "/a", "B": "/b", "HOME": "/h"}, "/a"),
        ({"A": "relative", "B": "/b", "HOME": "/h"}, "/b"),
        ({"A": "", "HOME": "/h"}, "/h/.x"),
    ],
)
def test_a_base_folder_is_the_first_absolute_one(environ: dict[str, str], folder: str) -> None:
    with mock.patch.dict(os.environ, environ, clear=True):
        assert xdg_folder("A", "B", default=".x") == folder


@pytest.mark.parametrize(
    ("mode", "folder_mode", "told"),
    [
        (0o600, 0o700, None),
        (0o644, 0o755, None),
        (0o620, 0o700, "{file} can be written by other users"),
        (0o602, 0o700, "{file} can be written by other users"),
        (0o600, 0o770, "{folder} can be written by other users"),
        (0o600, 0o1777, None),  # only its owner removes a file there
    ],
)
def test_who_else_could_write_a_file_is_told(
    mode: int, folder_mode: int, told: str | None, tmp_path: Path
) -> None:
    file = tmp_path / "folder/f"
    file.parent.mkdir()
    file.touch()
    file.chmod(mode)
    file.parent.chmod(folder_mode)
    link = tmp_path / "link"
    link.symlink_to(file)

    expected = told and told.format(file=file, folder=file.parent)
    assert write_access(str(file)) == expected
    assert write_access(str(link)) == expected


@pytest.mark.skipif(os.getuid() != 0, reason="only root gives files away")
def test_a_file_of_another_user_is_told(tmp_path: Path) -> None:
    file = tmp_path / "f"
    file.touch(0o600)
    os.chown(file, 12345, -1)

    assert write_access(str(file)) == f"{file} belongs to another user"


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    assert write_access(str(tmp_path / "f")) == f"{tmp_path / 'f'}: No such file or directory"
