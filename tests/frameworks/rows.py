"""The frameworks and programs that are run: where each is installed, and what it is asked to do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

__all__ = ["ASPECTS", "MODES", "ROWS", "Row"]

ASPECTS = ("plain", "streamed", "tools", "structured", "usage", "error")

MODES = {
    "install": "`install()`",
    "gateway": "a gateway",
    "run": "`adapter run -m`",
    "provider": "one `[[providers]]` entry",
}

NO_STREAM, NO_TOOLS, NO_SCHEMA = (
    {aspect: "not offered"} for aspect in ("streamed", "tools", "structured")
)
NO_USAGE = {"usage": "not told"}


class Row(NamedTuple):
    """One line of the table: a framework, or a program with the commands that are run.

    ``home`` is the environment, ``distribution`` what its version is of, ``without`` says of an
    aspect why the row does not have it. ``commands`` are those of a program, by aspect; one that
    is not there is the plain one.
    """

    name: str
    mode: str
    home: str
    distribution: str
    without: Mapping[str, str] = {}
    commands: Mapping[str, str] = {}


def _both(name: str, distribution: str, home: str = "", **without: str) -> list[Row]:
    return [Row(name, mode, home or name, distribution, without) for mode in ("install", "gateway")]


GPTME = "gptme -n --no-confirm"

ROWS = (
    *_both("raw", "litellm"),
    *_both("dspy", "dspy"),
    *_both("langchain", "langchain-litellm"),
    *_both("langchain-router", "langchain-litellm", home="langchain"),
    *_both("smolagents", "smolagents"),
    *_both("instructor", "instructor"),
    *_both("openai-agents", "openai-agents"),
    *_both("llama-index", "llama-index-llms-litellm"),
    *_both("mem0", "mem0ai", **NO_STREAM, **NO_USAGE),
    *_both("google-adk", "google-adk"),
    *_both("crewai", "crewai"),
    Row("pydantic-ai", "gateway", "pydantic-ai", "pydantic-ai-slim"),
    Row("inspect-ai", "gateway", "inspect-ai", "inspect-ai"),
    Row("browser-use", "gateway", "browser-use", "browser-use", NO_STREAM | NO_TOOLS),
    Row("lm-eval", "gateway", "lm-eval", "lm_eval", NO_STREAM | NO_TOOLS | NO_USAGE),
    Row(
        "gptme",
        "provider",
        "gptme",
        "gptme",
        NO_SCHEMA,
        {
            "plain": f"{GPTME} --no-stream -m proxy/{{model}} hi",
            "streamed": f"{GPTME} -m proxy/{{model}} hi",
            "tools": f"{GPTME} --tool-format tool -m proxy/{{model}} hi",
            "usage": f"{GPTME} --output-format json -m proxy/{{model}} hi",
        },
    ),
    Row(
        "gptme",
        "run",
        "gptme",
        "gptme",
        NO_SCHEMA,
        {
            "plain": f"{GPTME} --no-stream hi",
            "streamed": f"{GPTME} hi",
            "tools": f"{GPTME} --tool-format tool hi",
            "usage": f"{GPTME} --output-format json hi",
        },
    ),
    Row(
        "aider",
        "run",
        "aider",
        "aider-chat",
        NO_TOOLS | NO_SCHEMA,
        {
            "plain": "aider --message hi --no-git --yes-always --no-stream",
            "streamed": "aider --message hi --no-git --yes-always",
        },
    ),
    Row(
        "llm",
        "run",
        "llm",
        "llm",
        {},
        {
            "plain": "llm --no-stream hi",
            "streamed": "llm hi",
            "tools": "llm -T llm_version hi",
            "structured": "llm --schema {schema} hi",
            "usage": "llm -u hi",
        },
    ),
    Row(
        "openai",
        "run",
        "aider",  # the newest SDKs have no such command
        "openai",
        NO_TOOLS | NO_SCHEMA | NO_USAGE,
        {
            "plain": "openai api chat.completions.create -m {model} -g user hi",
            "streamed": "openai api chat.completions.create --stream -m {model} -g user hi",
        },
    ),
    Row(
        "codex",
        "run",
        "codex",
        "@openai/codex",
        {},
        {
            "plain": "codex exec --skip-git-repo-check hi",
            "structured": "codex exec --skip-git-repo-check --output-schema {schema} hi",
            "usage": "codex exec --skip-git-repo-check --json hi",
        },
    ),
    Row(
        "opencode",
        "run",
        "opencode",
        "opencode-ai",
        NO_SCHEMA,
        {"plain": "opencode run hi", "usage": "opencode run --format json hi"},
    ),
    Row(
        "claude",
        "run",
        "claude",
        "@anthropic-ai/claude-code",
        {},
        {
            "plain": "claude -p hi",
            "structured": "claude -p --output-format json --json-schema '{schema_text}' hi",
            "usage": "claude -p --output-format json hi",
        },
    ),
    Row("cn", "run", "cn", "@continuedev/cli", NO_SCHEMA | NO_USAGE, {"plain": "cn -p hi"}),
    Row(
        "promptfoo",
        "run",
        "promptfoo",
        "promptfoo",
        NO_STREAM,
        {
            "plain": "promptfoo eval --no-share -p hi",
            "tools": "promptfoo eval --no-share -c tools.json",
            "structured": "promptfoo eval --no-share -c response_format.json",
        },
    ),
)
