"""Files that are hostile, or no files: one clear message, bounded in time and memory."""

from __future__ import annotations

import os
import re
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.command import Outcome, provider, run
from tests.recorder import Recorder, Reply

MEGABYTE = 1024 * 1024

MEMORY = 600 * MEGABYTE
"""What a process may take in all, the interpreter and its libraries included."""

SECONDS = 60.0
"""What the slowest may take on a busy machine; it takes less than three on a quiet one."""

CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")

# click drops plain colours by itself where no terminal is; not these
ESCAPES = "a\x1b]0;title\x07b\x9b2Jc"
IN_TOML = r"a\u001b]0;title\u0007b\u009b2Jc"


class Hostile(NamedTuple):
    """A file's content, the line that is to be named, and words of the message."""

    name: str
    content: bytes
    line: int | None
    words: str


HEX = b"0x" + b"f" * 5000
TABLE = provider("https://h.example/v1").encode()
EXTRAS = TABLE + b"[plugin.litellm.providers.p]\n"

TOML_FILES = [
    Hostile("10 MB", b"#" * (10 * MEGABYTE), None, "10,485,760 bytes is too large"),
    Hostile("arrays", EXTRAS + b"x = " + b"[" * 200 + b"]" * 200, None, "nested deeper than 100"),
    Hostile("brackets", EXTRAS + b"x = " + b"[" * 100_000, None, "nested deeper than 100"),
    Hostile("dots", EXTRAS + b"x" + b".x" * 300 + b" = 1", None, "nested deeper than 100"),
    Hostile("headers", TABLE + b"[x" + b".x" * 900 + b"]", None, "nested deeper than 100"),
    Hostile("nul", TABLE + b'[env]\nA = "a\0b"\n', 5, "not valid TOML"),
    Hostile("nul in a comment", TABLE + b"# \0", 4, "not valid TOML"),
    Hostile("not UTF-8", TABLE + b'[env]\nA = "\xff"', 5, "not valid UTF-8"),
    Hostile("UTF-16", TABLE.decode().encode("utf-16"), 1, "not valid UTF-8"),
    Hostile("integer", TABLE + b"[env]\nA = " + b"9" * 100_000, None, "not usable TOML"),
    Hostile("hexadecimal", TABLE + b"[env]\nA = " + HEX, None, "an integer of more than 64 bits"),
    Hostile("in extras", EXTRAS + b"timeout = " + HEX, None, "an integer of more than 64 bits"),
    Hostile("twice", TABLE + b'name = "q"\n', 4, "not valid TOML: Cannot overwrite a value"),
    Hostile("table twice", TABLE + b"[x]\n[x]\n", 5, "not valid TOML"),
    Hostile("escape", TABLE + b'[env]\nA = "\x1b[2J"\n', 5, "not valid TOML"),
]
# a second of parsing, so for one command only
VALUES = Hostile("values", b"x = [" + b"1," * 500_000 + b"]", None, "more than 100,000 values")

COMMANDS = {
    "config check": ("config", "check"),
    "config export": ("config", "export"),
    "config import": ("config", "import", "good.yaml"),
    "models": ("models",),
    "providers add": ("providers", "add", "groq"),
    "providers list": ("providers", "list"),
    "providers list --json": ("providers", "list", "--json"),
    "providers remove": ("providers", "remove", "p"),
    "providers show": ("providers", "show", "p"),
    "providers test": ("providers", "test", "p"),
    "query": ("query", "-m", "p", "hi"),
    "serve": ("serve", "--detach"),
}

GOOD_YAML = "model_list:\n- model_name: groq/*\n  litellm_params: {model: groq/*}\n"


def refused(done: Outcome, path: str, line: int | None, words: str) -> None:
    """Check that it is one message with the file, the line, what is wrong and what to do."""
    assert (done.code, done.out) == (2, ""), done
    where = path if line is None else f"{path}:{line}"
    message, fix, *more = done.err.removesuffix("\n").split("\n")
    assert message.startswith(f"Error: {where}: "), done.err[:500]
    assert words in message
    assert fix.startswith("    fix: ")
    assert not more
    assert len(done.err) < 1000
    assert not CONTROLS.search(done.err)


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("hostile", TOML_FILES, ids=lambda hostile: hostile.name)
def test_a_configuration(hostile: Hostile, command: str, config_dir: Path) -> None:
    Path("good.yaml").write_text(GOOD_YAML)
    path = config_dir / "gptme.toml"
    path.write_bytes(hostile.content)
    path.chmod(0o600)

    refused(run(*COMMANDS[command]), str(path), hostile.line, hostile.words)

    assert path.read_bytes() == hostile.content
    assert os.listdir(config_dir) == ["gptme.toml"]


def loop(path: Path) -> None:
    path.symlink_to(path)


NO_FILES = {
    "fifo": (os.mkfifo, "not a regular file"),
    "directory": (os.mkdir, "not a regular file"),
    "loop": (loop, "cannot be read: Too many levels of symbolic links"),
    "device": (lambda path: path.symlink_to("/dev/zero"), "not a regular file"),
}


@pytest.mark.timeout(60)
@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("kind", NO_FILES)
def test_what_is_no_configuration_file(kind: str, command: str, config_dir: Path) -> None:
    Path("good.yaml").write_text(GOOD_YAML)
    path = config_dir / "gptme.toml"
    make, words = NO_FILES[kind]
    make(path)

    refused(run(*COMMANDS[command]), str(path), None, words)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("name", ["config.toml", "config.local.toml"])
@pytest.mark.parametrize("kind", NO_FILES)
def test_each_of_the_files_that_are_read(kind: str, name: str, config_dir: Path) -> None:
    make, words = NO_FILES[kind]
    make(config_dir / name)

    refused(run("providers", "list"), str(config_dir / name), None, words)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("kind", NO_FILES)
def test_which_files_are_read_is_told_of_what_is_none(kind: str, config_dir: Path) -> None:
    NO_FILES[kind][0](config_dir / "gptme.toml")

    done = run("config", "path")

    assert (done.code, done.err) == (0, "")
    assert len(done.out.splitlines()) == 4
    assert "gptme.toml  (" in done.out


ENTRY = b"model_list:\n- model_name: m\n  litellm_params: {model: openai/m, api_base: 'http://h'}\n"


def bomb() -> bytes:
    """Return nested aliases that stand for a billion values."""
    lines = ["a0: &a0 [x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    return "\n".join(lines).encode()


MERGES = [b"a0: &a0 {x: 1}"]
MERGES += [
    b"a%d: &a%d {<<: [%s]}" % (n, n, b", ".join([b"*a%d" % (n - 1)] * 10)) for n in range(1, 10)
]

YAML_FILES = [
    Hostile("laughs", bomb(), 6, "more than 200,000 values, aliases written out"),
    Hostile("merges", b"\n".join(MERGES), 6, "more than 200,000 values, aliases written out"),
    Hostile("cycle", b"a: &a\n  b: [*a]", 1, "an alias that contains itself"),
    Hostile("10 MB", b"#" * (10 * MEGABYTE), None, "too large for a configuration"),
    Hostile("flat", b"a: [\n" + b"x," * (2 * MEGABYTE - 9) + b"]", 2, "more than 200,000 values"),
    Hostile("lists", b"a: 1\nb: " + b"[" * 100_000, 2, "nested deeper than 100 levels"),
    Hostile("dashes", b"- " * 100_000, 1, "nested deeper than 100 levels"),
    Hostile("keys", b"? " * 100_000, 1, "nested deeper than 100 levels"),
    Hostile("nul", ENTRY + b"x: a\0b", 4, "a control character"),
    Hostile("not UTF-8", ENTRY + b"x: \xff", 4, "not valid UTF-8"),
    Hostile("integer", ENTRY + b"x: " + b"9" * 100_000, 4, "an integer of more than 100"),
    Hostile("hexadecimal", ENTRY + b"x: " + HEX, 4, "an integer of more than 100 characters"),
    Hostile("as a name", ENTRY + b"? " + HEX + b"\n: 1", 4, "an integer of more than 100"),
    # 1:1:1... is a number of base 60 in YAML 1.1; Python's time for it grows with its square
    Hostile("base 60", ENTRY + b"x: 1" + b":1" * MEGABYTE, 4, "an integer of more than 100"),
    Hostile("escape", ENTRY + b"x: \x1b[2J", 4, "a control character"),
    Hostile("executed", ENTRY + b"x: !!python/object/apply:os.system [x]", 4, "tags are not"),
]


@pytest.mark.parametrize("hostile", YAML_FILES[:-1], ids=lambda hostile: hostile.name)
def test_a_yaml_file(hostile: Hostile) -> None:
    Path("x.yaml").write_bytes(hostile.content)

    for more in ([], ["--dry-run"]):
        done = run("config", "import", "x.yaml", "--to", "x.toml", *more)
        refused(done, "x.yaml", hostile.line, hostile.words)

    assert os.listdir() == ["x.yaml"]


@pytest.mark.parametrize("hostile", YAML_FILES[:-1], ids=lambda hostile: hostile.name)
def test_a_yaml_file_that_is_included(hostile: Hostile) -> None:
    Path("inner.yaml").write_bytes(hostile.content)
    Path("x.yaml").write_bytes(b"a: 1\ninclude: [inner.yaml]\n")

    done = run("config", "import", "x.yaml", "--to", "x.toml")

    too_large = hostile.name == "10 MB"
    place = ("x.yaml", 2) if too_large else ("inner.yaml", hostile.line)
    refused(done, *place, hostile.words)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("included", [False, True])
@pytest.mark.parametrize("kind", NO_FILES)
def test_what_is_no_yaml_file(kind: str, included: bool) -> None:
    make, words = NO_FILES[kind]
    make(Path("inner.yaml" if included else "x.yaml"))
    if included:
        Path("x.yaml").write_bytes(b"a: 1\ninclude: [inner.yaml]\n")

    refused(run("config", "import", "x.yaml"), "x.yaml", 2 if included else None, words)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("kind", ["fifo", "loop", "device"])
def test_what_is_no_file_to_import_into(kind: str) -> None:
    Path("x.yaml").write_text(GOOD_YAML)
    target = Path("x.toml").absolute()
    make, words = NO_FILES[kind]
    make(target)

    refused(run("config", "import", "x.yaml", "--to", str(target)), str(target), None, words)


def test_keys_that_are_given_twice_and_a_file_that_includes_itself() -> None:
    Path("x.yaml").write_text(f"{GOOD_YAML}x: 1\nx: 2\ninclude: [x.yaml]\n")

    done = run("config", "import", "x.yaml", "--to", "x.toml")

    assert done.code == 0
    assert "note: x.yaml:5: 'x' is given twice; the last one counts\n" in done.err
    assert "LiteLLM reads each file once" in done.err


# ---- bounds


def bounded(*args: str) -> Outcome:
    """Run the command as a process that may take ``MEMORY`` and ``SECONDS``, no more."""
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "adapter", *args],
        capture_output=True,
        check=False,
        text=True,
        encoding="utf-8",
        timeout=SECONDS,
        stdin=subprocess.DEVNULL,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY)),
    )
    assert time.monotonic() - started < SECONDS
    return Outcome(done.returncode, done.stdout, done.stderr)


LARGE = [VALUES, *(h for h in TOML_FILES if h.name in {"10 MB", "brackets", "in extras"})]


@pytest.mark.parametrize("hostile", LARGE, ids=lambda hostile: hostile.name)
def test_the_memory_that_a_configuration_takes(hostile: Hostile, config_dir: Path) -> None:
    path = config_dir / "gptme.toml"
    path.write_bytes(hostile.content)
    path.chmod(0o600)

    refused(bounded("config", "check"), str(path), hostile.line, hostile.words)


BOMBS = ["laughs", "merges", "10 MB", "flat", "lists", "base 60"]


@pytest.mark.parametrize(
    "hostile", [h for h in YAML_FILES if h.name in BOMBS], ids=lambda hostile: hostile.name
)
def test_the_memory_that_a_yaml_file_takes(hostile: Hostile) -> None:
    Path("x.yaml").write_bytes(hostile.content)

    refused(bounded("config", "import", "x.yaml"), "x.yaml", hostile.line, hostile.words)


MANY = {
    "empty tables": (b"[[providers]]\n" * 10_000, 2),
    "names alone": (b"".join(b'[[providers]]\nname="%d"\n' % n for n in range(4000)), 2),
    "unknown fields": (TABLE + b"".join(b"x%d = 1\n" % n for n in range(10_000)), 0),
    "settings of nobody": (
        TABLE + b"".join(b"[plugin.litellm.providers.n%d]\n" % n for n in range(10_000)),
        0,
    ),
    "settings of many": (
        b"".join(
            b'[[providers]]\nname="n%d"\nbase_url="http://h"\n[plugin.litellm.providers.m%d]\n'
            % (n, n)
            for n in range(4000)
        ),
        0,
    ),
}


@pytest.mark.parametrize("name", MANY)
def test_thousands_of_problems_are_told_in_time(
    name: str, config_dir: Path, record_property: Callable[[str, object], None]
) -> None:
    content, code = MANY[name]
    path = config_dir / "gptme.toml"
    path.write_bytes(content)
    path.chmod(0o600)
    started = time.monotonic()

    done = bounded("config", "check")

    assert done.code == code
    assert len(re.findall(r"gptme\.toml:\d+: ", done.out + done.err)) >= 4000
    taken = time.monotonic() - started
    record_property("figure", f"hostile files: {name}: {len(content):,} bytes in {taken:.1f} s")


# ---- what is shown


def shows_no_control(*args: str, codes: tuple[int, ...] = (0,)) -> str:
    done = run(*args)
    shown = done.out + done.err
    assert done.code in codes, shown
    assert not CONTROLS.search(shown), repr(shown)
    assert "\nforged" not in shown
    return shown


def test_no_value_of_a_configuration_drives_a_terminal(write: Callable[..., Path]) -> None:
    model = IN_TOML + r"\nforged"
    write(
        provider("https://h.example/v1", default_model=model, **{f'"{IN_TOML}"': model})
        + f'[plugin.litellm.providers.p]\napi_key_file = "/{model}"\nuser = "{model}"\n'
        + f'extra_headers = {{ X = "{model}", "{IN_TOML}" = "${{A}}" }}\n'
        + f'[plugin.litellm.providers."{IN_TOML}"]\n[plugin.litellm."{IN_TOML}"]\n'
        + f'[plugin.litellm.router_settings]\n"{IN_TOML}" = "{model}"\n'
        + f'[models]\ndefault = "{model}"\n'
    )
    for args in (["providers", "list"], ["providers", "list", "--json"], ["config", "check"]):
        assert "title" in shows_no_control(*args)
    for args in (["providers", "show", "p"], ["providers", "show", "p", "--json"]):
        assert "title" in shows_no_control(*args)
    assert "title" in shows_no_control("config", "export")
    for args in (["providers", "test", "p"], ["providers", "test", "p", "--json"]):
        assert "title" in shows_no_control(*args, codes=(3,))
    assert "title" in shows_no_control("models", codes=(1,))
    assert "title" in shows_no_control("models", "p", codes=(3,))
    assert "title" in shows_no_control("-m", "p", "hi", codes=(3,))
    assert "title" in shows_no_control("providers", "remove", "p", "--dry-run")


@pytest.mark.parametrize("field", ["name", "base_url", "api_key_env"])
def test_no_message_drives_a_terminal(field: str, write: Callable[..., Path]) -> None:
    fields = {"name": "p", "base_url": "https://h.example/v1", field: IN_TOML}
    path = write(provider(**fields))
    for args in COMMANDS.values():
        if args[1:2] != ("import",):
            shown = shows_no_control(*args, codes=(2,))
            assert shown.startswith(f"Error: {path}:")


def test_no_value_of_a_yaml_file_drives_a_terminal() -> None:
    text = r'"a\e]0;title\ab\x9b2Jc\nforged"'
    Path("x.yaml").write_text(
        f"model_list:\n- model_name: {text}\n"
        f"  litellm_params: {{model: openai/m, api_base: 'http://h', user: {text}, {text}: 1}}\n"
        f"- model_name: b\n  litellm_params: {{model: {text}}}\n"
        f"router_settings: {{model_group_alias: {{{text}: {text}}}, {text}: 1}}\n{text}: 1\n"
    )
    for more in (["--dry-run"], []):
        args = ["config", "import", "x.yaml", "--to", "x.toml", *more]
        assert "title" in shows_no_control(*args, codes=(1,))


MODELS: list[Any] = [
    Reply(200, {"data": [{"id": "ok"}, {"id": ESCAPES}, {"id": "a\nforged"}]}),
    Reply(200, ["ok", ESCAPES]),
    Reply(500, {"error": {"message": f"title {ESCAPES}"}}),
    Reply(401, f"title {ESCAPES}".encode()),
    Reply(200, b"[" * 1_000_000),
    Reply(200, b'{"data": [' + b"9" * 100_000 + b"]}"),
    Reply(200, b'{"data": "\xff\x00"}'),
    Reply(200, b"\x1b]0;title\x07"),
]


@pytest.mark.parametrize("reply", MODELS)
def test_no_list_of_models_drives_a_terminal(
    reply: Reply, server: Recorder, write: Callable[..., Path]
) -> None:
    write(provider(server.base_url, default_model=IN_TOML))
    server.script = lambda request: reply
    ended = (0, 3, 4, 7)
    for args in (["models"], ["models", "--json"]):
        shows_no_control(*args, codes=(0, 1))
    for args in (["models", "p"], ["models", "p", "--json"], ["config", "export", "--discover"]):
        shows_no_control(*args, codes=(*ended, 1))
    shows_no_control("providers", "test", "p", codes=ended)
    shows_no_control("providers", "test", "p", "--json", codes=ended)
    assert len(server.requests) >= 7


# ---- files given by option or setting


def key_file(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    path.chmod(0o600)


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    ("make", "words"),
    [
        (loop, "Too many levels of symbolic links"),
        (lambda path: path.symlink_to("/dev/zero"), "is not a regular file"),
        (lambda path: key_file(path, b"k" * (10 * MEGABYTE)), "bytes without a line end"),
        (lambda path: key_file(path, b"a\0b"), "control"),
        (lambda path: key_file(path, b"\xff\xfe"), "non-ASCII"),
        (lambda path: key_file(path, b"a\x1b[2J"), "control"),
    ],
    ids=["loop", "device", "10 MB", "nul", "not UTF-8", "escape"],
)
def test_a_file_that_holds_no_key(
    make: Callable[[Path], None],
    words: str,
    server: Recorder,
    write: Callable[..., Path],
    tmp_path: Path,
) -> None:
    path = tmp_path / "key"
    make(path)
    write(f'{provider(server.base_url)}[plugin.litellm.providers.p]\napi_key_file = "{path}"\n')

    shown = shows_no_control("models", "p", codes=(3,))

    assert words in shown
    assert str(path) in shown
    assert shown.count("\n") == 1
    assert not server.requests


def test_a_long_file_with_a_key_in_its_first_line(
    server: Recorder, write: Callable[..., Path], tmp_path: Path
) -> None:
    key_file(tmp_path / "key", b"sk-first\n" + b"x" * (10 * MEGABYTE))
    write(
        provider(server.base_url)
        + f'[plugin.litellm.providers.p]\napi_key_file = "{tmp_path}/key"\n'
    )

    run("models", "p")

    assert [request.key for request in server.requests] == ["sk-first"]


DEEP = b'{"not": ' * 300 + b"{}" + b"}" * 300
SCHEMAS: dict[str, tuple[Callable[[Path], Any], str]] = {
    "fifo": (os.mkfifo, "not a regular file"),
    "directory": (os.mkdir, "not a regular file"),
    "loop": (loop, "Too many levels of symbolic links"),
    "device": (lambda path: path.symlink_to("/dev/zero"), "not a regular file"),
    "10 MB": (lambda path: path.write_bytes(b" " * (10 * MEGABYTE)), "longer than 4,194,304"),
    "nul": (lambda path: path.write_bytes(b'{"type": "\0"}'), "not valid JSON"),
    "not UTF-8": (lambda path: path.write_bytes(b'{"type": "\xff"}'), "utf-8"),
    "brackets": (lambda path: path.write_bytes(b"[" * 1_000_000), "not valid JSON"),
    "nesting": (lambda path: path.write_bytes(DEEP), "nested too deeply"),
    "integer": (lambda path: path.write_bytes(b'{"minimum": ' + b"9" * 5000 + b"}"), "limit (4300"),
    "escape": (lambda path: path.write_text(f'{{"type": "{IN_TOML}"}}'), "not a JSON schema"),
}


@pytest.mark.timeout(60)
@pytest.mark.parametrize("kind", SCHEMAS)
def test_what_is_no_schema(kind: str, server: Recorder, write: Callable[..., Path]) -> None:
    write(provider(server.base_url))
    make, words = SCHEMAS[kind]
    make(Path("schema"))

    shown = shows_no_control("-m", "p", "--schema", "schema", "hi", codes=(2,))

    assert shown.startswith("Error: --schema schema: ")
    assert words in shown
    assert shown.count("\n") == 1
    assert not server.requests


@pytest.mark.timeout(60)
@pytest.mark.parametrize("kind", ["loop", "device"])
def test_what_cannot_be_attached(kind: str, server: Recorder, write: Callable[..., Path]) -> None:
    write(provider(server.base_url))
    make, words = NO_FILES[kind]
    make(Path("thing"))

    shown = shows_no_control("-m", "p", "-a", "thing", "hi", codes=(2,))

    assert shown.startswith("Error: --attach thing: ")
    assert words.removeprefix("cannot be read: ") in shown
    assert not server.requests
