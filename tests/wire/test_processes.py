"""Every command as a process, in the order in which somebody would use them."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import litellm
import pytest

from adapter.call.translation import Target
from adapter.keys.precedence import ResolvedKey
from adapter.query.prices import cost
from adapter.secrets.secret import Secret
from tests.recorder import Recorder

Adapter = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def do(adapter: Adapter) -> Callable[..., str]:
    """Run a command, which must succeed; return its stdout."""

    def run(*args: str, stdin: str = "", code: int = 0) -> str:
        done = adapter(*args, stdin=stdin)
        assert done.returncode == code, done.stderr
        assert "Traceback" not in done.stderr
        assert "canary" not in done.stdout + done.stderr
        return done.stdout

    return run


def test_a_provider_from_its_beginning_to_its_end(
    do: Callable[..., str], server: Recorder, config_dir: Path
) -> None:
    do("config", "path")
    add = ("providers", "add", "mine", "--base-url", server.base_url, "--default-model", "m")
    assert "+name" in do(*add, "--api-key-stdin", "--dry-run", stdin="sk-canary\n")
    do(*add, "--api-key-stdin", stdin="sk-canary\n")
    assert "1 custom provider(s)" in do("providers", "list")
    assert json.loads(do("providers", "show", "mine", "--json"))["key"] == "set"
    assert do("models") == "mine/m *\n"
    assert do("providers", "test").startswith("✅ mine")
    assert "2 file(s), 1 provider(s), 0 warning(s)" in do("config", "check")
    assert do("-m", "mine", "hi") == "Hello, world\n"
    assert json.loads(do("query", "-m", "mine", "--json", "hi"))["object"] == "chat.completion"
    assert {r.key for r in server.requests} == {"sk-canary"}
    Path("config.yaml").write_text(do("config", "export", "--discover"))
    assert "mine/m" in Path("config.yaml").read_text()
    do("config", "import", "config.yaml")
    do("config", "import", "config.yaml", "--to", "other.toml")
    do("keys", "set", "mine", stdin="\n", code=2)
    assert "_ADAPTER_COMPLETE" in do("completion", "bash")
    do("serve", "--status", code=1)
    do("serve", "--stop")
    do("providers", "discover")
    do("providers", "remove", "mine")
    assert "No custom providers" in do("providers", "list")
    assert "canary" not in (config_dir / "config.local.toml").read_text()


# ---- what a query cost


def target(base: str, model: str) -> Target:
    key = ResolvedKey(Secret("k"), "s", None)
    return Target("p", base, model, key, {"api_base": base})


def test_a_price_is_for_exactly_that_model_at_its_vendor() -> None:
    usage = {"prompt_tokens": 1000, "completion_tokens": 1000}
    groq = "https://api.groq.com/openai/v1"
    model = next(
        name.removeprefix("groq/")
        for name, row in litellm.model_cost.items()
        if name.startswith("groq/") and row.get("input_cost_per_token")
    )
    price = cost("p", target(groq, model), usage)
    assert price is not None
    assert price > 0
    assert cost("p", target("http://localhost:8000/v1", model), usage) is None
    assert cost("p", target(groq, "no-such-model"), usage) is None
    assert cost("gpt-4o", None, usage) is not None
    assert cost("no-such-model", None, usage) is None
    assert cost("p", target("https://api.openai.com/v1", "gpt-4o"), usage) is not None


def test_tokens_from_a_cache_cost_what_the_vendor_takes_for_them() -> None:
    usage = {"prompt_tokens": 1000, "completion_tokens": 0}
    cached = {**usage, "prompt_tokens_details": {"cached_tokens": 1000}}
    row = litellm.model_cost["gpt-4o"]
    assert row["cache_read_input_token_cost"] < row["input_cost_per_token"]
    assert cost("gpt-4o", None, cached) == pytest.approx(1000 * row["cache_read_input_token_cost"])
    assert cost("gpt-4o", None, usage) == pytest.approx(1000 * row["input_cost_per_token"])
