"""The site: it is built, all of it is reached, its links lead somewhere, its pages are true."""

from __future__ import annotations

import inspect
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import click
import pytest
import tomli
import yaml

import adapter
from adapter import load_config
from adapter.call.drop_ins import FUNCTIONS
from adapter.cli.main import cli
from adapter.config.checks import RESERVED, RULES
from adapter.config.files import FILE_NAMES, MAX_BYTES, MAX_DEPTH, MAX_VALUES, SECTIONS
from adapter.config.provider import FIELDS
from adapter.errors import ExitCode
from adapter.keys.sources import COMMAND_SECONDS, KEY_SETTINGS
from tests.conftest import ROOT
from tests.pages import DOCS, PAGES, blocks, commands, followed, generator, table

ADDED = {"contributing.md", "changelog.md"}
"""What docs/hooks.py takes from the root of the repository."""

WAYS = (DOCS / "architecture.md").read_text("utf-8").partition("By modules:")[2].partition("##")[0]

every_page = pytest.mark.parametrize("page", PAGES)


class Page(HTMLParser):
    """The addresses and anchors of a built page; ``loads`` are those that a browser fetches."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.anchors: set[str] = set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.anchors |= {given["id"]} if "id" in given else set()
        fetched = "src" if tag != "link" or given.get("rel") in ("next", "prev") else "href"
        if fetched in given:
            self.loads.append(given[fetched])
        elif "href" in given:
            self.links.append(given["href"])


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built strictly: a link, anchor or name that leads nowhere ends the build."""
    pytest.importorskip("mkdocs", reason="`make docs` installs what builds the site")
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "-d", str(folder)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture(scope="module")
def built(site: Path) -> dict[Path, Page]:
    return {path: Page(path) for path in site.rglob("*.html")}


def test_every_page_is_in_the_navigation(site: Path) -> None:
    text = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")

    def pages(entry: Any) -> Iterator[str]:
        if isinstance(entry, str):
            yield entry
        for inner in entry if isinstance(entry, list) else ():
            yield from pages(inner)
        for inner in entry.values() if isinstance(entry, dict) else ():
            yield from pages(inner)

    plain = text.replace("!!python/name:", "")  # tags that only MkDocs reads
    listed = list(pages(yaml.safe_load(plain)["nav"]))
    assert sorted(listed) == sorted({*PAGES, *ADDED})
    assert all((site / page.replace(".md", ".html")).is_file() for page in listed)


def test_every_link_within_the_site_leads_somewhere(built: dict[Path, Page]) -> None:
    broken = []
    for path, page in built.items():
        for link in [*page.links, *page.loads]:
            parts = urlsplit(link)
            if parts.scheme or path.name == "404.html":
                continue  # 404.html stands for any address, so its own links begin at the top
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            anchor = unquote(parts.fragment)
            known = built[target].anchors if target in built else {anchor}
            if not target.is_file() or (anchor and anchor not in known):
                broken.append(f"{path.name}: {link}")
    assert broken == []


def test_nothing_is_loaded_from_another_host(site: Path, built: dict[Path, Page]) -> None:
    outside = re.compile(r"^(?:https?:)?//")
    assert [load for page in built.values() for load in page.loads if outside.match(load)] == []
    assert all(page.loads for page in built.values())
    sheets = [path.read_text(encoding="utf-8") for path in site.rglob("*.css")]
    assert len(sheets) >= 3
    assert [s for s in sheets if re.search(r"(?:url\(|@import )[\"']?(?:https?:)?//", s)] == []
    # the theme would fetch mermaid for a diagram of that name
    assert not any("mermaid" in path.read_text(encoding="utf-8") for path in DOCS.rglob("*.md"))


def test_what_makes_the_site_is_not_part_of_it(site: Path) -> None:
    assert [path for path in site.rglob("*") if path.suffix in (".py", ".pyc", ".md")] == []


def test_the_api_page_has_every_public_name(site: Path, built: dict[Path, Page]) -> None:
    page = built[site / "api.html"]

    assert {f"adapter.{name}" for name in adapter.__all__} <= page.anchors
    # a docstring's :class:`Name` has become a link
    assert ":class:" not in (site / "api.html").read_text(encoding="utf-8")
    assert "#adapter.MissingKeyError" in page.links


def test_the_api_page_lists_the_drop_in_functions() -> None:
    cells = [re.findall(r"</a>`(\w+)`", c) for row in table("api.md", "| function |") for c in row]
    (shown,) = blocks("api.md", "text")

    assert sorted(name for cell in cells for name in cell) == sorted(FUNCTIONS)
    doc = inspect.getdoc(adapter.completion)
    assert doc is not None
    assert re.sub(r"^ {4}", "", shown.text, flags=re.MULTILINE).endswith(f"\n{doc}\n")


def test_the_how_tos_are_made_from_the_configuration_examples() -> None:
    made = generator("generate_howto").pages()
    examples = {path.stem for path in (ROOT / "config_examples").glob("*.toml")}

    assert made.keys() == {f"{name}.md" for name in ("index", *examples)}
    for name, text in made.items():
        written = (DOCS / "howto" / name).read_text(encoding="utf-8")
        assert written == text, "run: python docs/generate_howto.py"


def test_the_errors_page_is_made_from_the_errors() -> None:
    text = generator("generate_errors").text()

    assert (DOCS / "errors.md").read_text(encoding="utf-8") == text, (
        "run: python docs/generate_errors.py"
    )
    assert {int(c): m for c, m in table("errors.md", "| code | meaning |")} == {
        code: code.meaning for code in ExitCode
    }


@pytest.mark.skipif(
    sys.version_info < (3, 11), reason="Python 3.10 counts other lines of a call on several lines"
)
def test_the_errors_page_leaves_no_problem_out() -> None:
    """Each line of the checks that makes a problem is run while the page is made."""
    rooms = ("checks.py", "files.py")
    watched = {str(ROOT / "adapter" / "config" / name) for name in rooms}
    ran: set[tuple[str, int]] = set()

    def trace(frame: Any, event: str, arg: Any) -> Callable[..., Any] | None:
        if frame.f_code.co_filename not in watched:
            return None
        ran.add((frame.f_code.co_filename, frame.f_lineno))
        return trace

    previous = sys.gettrace()
    sys.settrace(trace)
    try:
        generator("generate_errors").text()
    finally:
        sys.settrace(previous)
    making = re.compile(r"(?:yield|return) (?:Problem|_problem)\(|^ +yield (?:key|\")")
    wanted = {
        (path, number)
        for path in watched
        for number, line in enumerate(Path(path).read_text(encoding="utf-8").splitlines(), 1)
        if making.search(line)
    }
    # to be refused by open() takes a user who is not root
    assert len(wanted) > 25
    assert len(wanted - ran) <= 1, sorted(wanted - ran)
    page = (DOCS / "errors.md").read_text(encoding="utf-8")
    for rule in RULES:
        path = re.escape(rule.path).replace(r"\*", r"[^ `]+")
        assert re.search(f"`(warning: )?{path} must be {re.escape(rule.kind.words)}`", page), rule


@every_page
def test_the_blocks_of_a_page_can_be_read(page: str) -> None:
    readers: dict[str, Callable[[str], object]] = {
        "toml": tomli.loads,
        "yaml": lambda text: list(yaml.safe_load_all(text)),
        "json": json.loads,
        "python": lambda text: compile(text, page, "exec"),
    }
    for block in blocks(page):
        assert block.language in {*readers, "", "text", "bash", "sh", "console"}, block
        readers.get(block.language, str)(block.text)
    shell = "\n".join(b.text for b in blocks(page) if b.language in ("bash", "sh"))
    done = subprocess.run(["bash", "-n"], input=shell, capture_output=True, text=True, check=False)
    assert done.stderr == ""


@every_page
def test_the_commands_of_a_page_are_commands(page: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their options exist and have values; what the commands do is tested elsewhere."""
    monkeypatch.setenv("ADAPTER_CONFIG", "")  # which --config sets
    for words in commands(page):
        command: click.Command = cli
        context = cli.make_context("adapter", words)
        while isinstance(command, click.Group):
            found = command.resolve_command(context, [*context._protected_args, *context.args])
            assert found[1] is not None
            command = found[1]
            context = command.make_context(found[0], found[2], parent=context)


@pytest.mark.parametrize("page", ["index.md", "configuration.md"])
def test_the_page_can_be_followed(page: str) -> None:
    with followed(page):
        config = load_config()

    assert config.warnings == ()
    assert "groq" in [provider.name for provider in config.providers]


def names(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def test_the_configuration_page_has_every_file_and_field() -> None:
    files = [Path(names(row[0])[0]).name for row in table("configuration.md", "| file |")]
    fields = [names(row[0])[0] for row in table("configuration.md", "| field |")]
    settings = [n for row in table("configuration.md", "| setting |") for n in names(row[0])]
    sections = [names(row[0])[0] for row in table("configuration.md", "| table |")]
    text = (DOCS / "configuration.md").read_text(encoding="utf-8")

    assert tuple(files) == FILE_NAMES
    assert sorted(fields) == sorted(FIELDS)
    assert set(KEY_SETTINGS) <= set(settings)
    assert tuple(sections) == SECTIONS
    refused = next(p for p in text.split("\n\n") if "are errors there" in p)
    assert set(names(refused)) == {*RESERVED, "[[providers]]", "api_key_"}


def test_the_configuration_page_has_the_limits() -> None:
    text = (DOCS / "configuration.md").read_text(encoding="utf-8")

    most = f"{MAX_BYTES // 1024**2} MiB, {MAX_VALUES:,} values and {MAX_DEPTH} levels at most"
    assert most in text
    assert f"for {COMMAND_SECONDS:.0f} seconds at most" in " ".join(text.split())


def test_the_configuration_page_has_every_variable() -> None:
    """Those of the command's options, and those whose names stand in the code."""
    listed = {n for row in table("configuration.md", "| variable |") for n in names(row[0])}
    code = "\n".join(p.read_text(encoding="utf-8") for p in (ROOT / "adapter").rglob("*.py"))
    own = set(re.findall(r'"(ADAPTER_[A-Z_]+|XDG_[A-Z_]+|SSL_CERT_[A-Z]+)"', code))
    looked_up = set(re.findall(r'environ(?:\.get\(|\[|\.setdefault\()"([A-Z_]+)"', code))
    internal = {"_ADAPTER_COMPLETE", "COMP_TYPED", "HOME", "TERM"}  # the shell's, the system's
    internal |= {"PYTHONPATH"}  # of a program that is run
    internal |= {"OPENAI_CUSTOM_HEADERS"}  # read to be kept from the providers

    assert own | (looked_up - internal) <= {*listed, "no_proxy"}
    assert own
    # read by the HTTP clients and by LiteLLM
    elsewhere = {"HTTP_PROXY", "HTTPS_PROXY", "LITELLM_MAX_STREAMING_DURATION_SECONDS"}
    assert [n for n in listed - elsewhere if not re.search(rf'["_]{n}\b', code)] == []


def test_only_marked_pages_are_made() -> None:
    """A page that says how it is made is made by that; the ones written by hand do not say so."""
    marked = {p for p in PAGES if "Made by `python docs/" in (DOCS / p).read_text("utf-8")}

    assert marked == {"cli.md", "errors.md", *(p for p in PAGES if p.startswith("howto/"))}


def test_the_picture_of_the_packages_has_each_of_them() -> None:
    picture = (ROOT / "docs" / "assets" / "architecture.svg").read_text(encoding="utf-8")
    boxes = set(re.findall(r'class="name"[^>]*>(\w+)', picture))

    packages = {path.parent.name for path in (ROOT / "adapter").glob("*/__init__.py")}
    assert boxes == {*packages, "embedded", "errors", "LiteLLM"}


@pytest.mark.parametrize("step", re.findall(r"`(\w+/\w+)`", WAYS))
def test_a_step_of_a_way_through_the_packages_is_a_module(step: str) -> None:
    assert (ROOT / "adapter" / f"{step}.py").is_file()
