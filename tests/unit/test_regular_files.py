"""Reading what stands in a file's place, and the XDG base folders."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import pytest

from adapter._files import NotRegularError, open_regular, read_regular, reason, xdg_folder


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
