"""The files of config_examples/ in pieces: the header of each in Markdown, and its TOML."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from adapter import Provider, load_config

PROGRAMS = ("curl", "export", "litellm", "llama-server", "lms", "ollama", "pip", "vllm")
"""The first words of the commands in the files' headers."""


class Example(NamedTuple):
    """One file of config_examples/: its header in pieces, its providers, its TOML."""

    file: str
    title: str
    what: str
    fields: Mapping[str, list[str]]
    providers: tuple[Provider, ...]
    toml: str

    @property
    def page(self) -> str:
        return self.file.replace(".toml", ".md")


def read(path: Path) -> Example:
    """Return an example; its header is the comment above the first empty line."""
    header, _, toml = path.read_text(encoding="utf-8").partition("\n\n")
    first, *rest = (line[2:] for line in header.splitlines())
    title, _, what = first.partition(": ")
    fields: dict[str, list[str]] = {}
    for line in rest:
        if found := re.match(r"([A-Z][A-Za-z ]+):  *(.*)", line):
            fields[found[1].removesuffix("s")] = [found[2]]
        elif fields and line.startswith("    "):
            fields[list(fields)[-1]].append(line[11:])
    providers = load_config(path).providers
    return Example(path.name, title, what[0].upper() + what[1:], fields, providers, toml.strip())


def is_command(line: str) -> bool:
    """Whether a line of a header is to be typed."""
    return line.partition(" ")[0] in PROGRAMS


def prose(text: str, bases: set[str]) -> str:
    """Return a header's prose in Markdown; base URLs are not pages, so they are no links."""

    def marked(found: re.Match[str]) -> str:
        url = found[0].rstrip(".,;:")
        is_page = "<" not in url and not url.endswith("/v1") and url not in bases
        return (f"<{url}>" if is_page else f"`{url}`") + found[0][len(url) :]

    return re.sub(r"https?://[^\s)]+", marked, text)


def blocks(lines: list[str], bases: set[str]) -> Iterator[str]:
    """Yield a field of a header in paragraphs and blocks of commands, in its order."""
    words: list[str] = []
    commands: list[str] = []

    def flush() -> Iterator[str]:
        if words:
            text = " ".join(words)
            text = prose(text.strip("().") if text.startswith("(") else text, bases)
            text = text[0].upper() + text[1:]
            yield text if text.endswith((".", ":")) else f"{text}."
        if commands:
            yield "```bash\n" + "\n".join(commands) + "\n```"
        words.clear()
        commands.clear()

    for raw in lines:
        goes_on = bool(commands) and commands[-1].endswith("\\")
        if goes_on or is_command(raw.strip()):
            if words:
                yield from flush()
            line, _, remark = (raw if goes_on else raw.strip()).partition("      (")
            commands.append(f"{line.rstrip()}    # {remark[:-1]}" if remark else line.rstrip())
        else:
            if commands:
                yield from flush()
            words.append(raw.strip())
    yield from flush()
