"""``adapter.router()`` with what people write under ``router_settings``."""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import litellm
import pytest
import yaml

import adapter
from adapter.upstream.prefixes import ROUTER_SETTINGS
from adapter.upstream.routers import setting_names
from tests.command import ROOT, run
from tests.recorder import Recorder

Write = Callable[..., Path]

SAMPLES = sorted((ROOT / "tests" / "samples").glob("*.yaml"))

TABLE = "plugin.litellm.router_settings"

SETTINGS = """\
enable_cost_tracking = true
numretries = 1
model_list = []
fallback_access_check = "x"
routing_strategy = "fastest"
redis_host = "os.environ/REDIS_HOST"
redis_port = 6379
allowed_fails = 7

[plugin.litellm.router_settings.cache_kwargs]
ssl = "os.environ/REDIS_SSL"
"""

REFUSED = {
    "enable_cost_tracking": "is not a setting of LiteLLM's Router",
    "numretries": "is not a setting of LiteLLM's Router",
    "model_list": "is not a setting of LiteLLM's Router",
    "fallback_access_check": "is not a setting of LiteLLM's Router",
    "routing_strategy": "is 'fastest', which is not one of LiteLLM's strategies",
    "redis_host": "refers to $REDIS_HOST, which is not set",
    "cache_kwargs.ssl": "refers to $REDIS_SSL, which is not set",
}


@pytest.fixture
def path(write: Write, server: Recorder) -> Path:
    return write(
        f'[[providers]]\nname = "p"\nbase_url = "{server.base_url}"\ndefault_model = "m"\n'
        f"[{TABLE}]\n{SETTINGS}"
    )


def setting(router: Any, name: str) -> Any:
    """Return a setting of a Router; from 1.110 on it has a function for them."""
    return getattr(router.settings() if hasattr(router, "settings") else router, name)


def without_hint(line: str) -> str:
    return re.sub(r" \(did you mean [^)]*\)", "", line)


def send(**options: Any) -> Any:
    router = adapter.router(**options)
    router.completion("p", messages=[{"role": "user", "content": "hi"}])
    return router


@pytest.mark.usefixtures("path")
def test_what_the_router_does_not_take_is_told_and_left_out(server: Recorder) -> None:
    with pytest.warns(UserWarning, match="left out") as caught:
        router = send()

    told = [str(w.message) for w in caught if str(w.message).startswith("left out: ")]
    assert (
        "numretries is not a setting of LiteLLM's Router (did you mean 'num_retries'?)" in told[1]
    )
    assert [without_hint(line).partition(";")[0] for line in told] == [
        f"left out: {TABLE}.{name} {why}" for name, why in REFUSED.items()
    ]
    assert all(w.filename == __file__ for w in caught if str(w.message) in told)
    assert (setting(router, "allowed_fails"), setting(router, "routing_strategy")) == (
        7,
        "simple-shuffle",
    )
    assert server.only.body["model"] == "m"


def test_config_check_says_so_first(path: Path) -> None:
    lines = run("config", "check").out.splitlines()
    shown = [line for line in lines if TABLE in line]
    numbers = [line.split(":")[2] for line in shown]
    first = path.read_text().splitlines().index(f"[{TABLE}]") + 2
    assert numbers == [str(first + n) for n in (0, 1, 2, 3, 4, 5, 9)]
    for line, (name, why) in zip(shown, REFUSED.items(), strict=True):
        assert f"{TABLE}.{name} {why}: a Router is made without it" in without_hint(line)
    assert lines[-1] == "1 file(s), 1 provider(s), 7 warning(s)"


def test_a_reference_is_resolved_by_gptmes_rule(
    write: Write, server: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(
        f'[[providers]]\nname = "p"\nbase_url = "{server.base_url}"\ndefault_model = "m"\n'
        f'[env]\nSTRATEGY = "least-busy"\n[{TABLE}]\nrouting_strategy = "os.environ/STRATEGY"\n'
        'tag_routing_prefix = "os.environ/TAG"\n'
    )
    monkeypatch.setenv("GPTME_TAG", "t-")
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        router = send()
    assert setting(router, "routing_strategy") == "least-busy"
    assert setting(router, "tag_routing_prefix") == "t-"

    monkeypatch.setenv("STRATEGY", "fastest")
    with pytest.warns(UserWarning, match="routing_strategy is 'fastest', which is not one of"):
        assert setting(send(), "routing_strategy") == "simple-shuffle"


@pytest.mark.usefixtures("path")
def test_what_the_caller_gives_is_the_callers() -> None:
    with pytest.warns(UserWarning, match="left out") as caught:
        router = send(routing_strategy="least-busy", redis_host=None)
    assert not [w for w in caught if "routing_strategy" in str(w.message)]
    assert setting(router, "routing_strategy") == "least-busy"
    with pytest.raises(TypeError, match="no_such_setting"), pytest.warns(match="left out"):
        send(no_such_setting=1)


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda path: str(path.name))
def test_a_router_over_what_each_sample_becomes(
    sample: Path, config_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("GATEWAY_BASE", "CLOUDFLARE_ACCOUNT_ID"):
        monkeypatch.setenv(name, "https://gateway.example/v1")
    for path in sample.parent.glob("*.*"):
        Path(path.name).write_bytes(path.read_bytes())
    run("config", "import", sample.name, "--compatible")
    for provider in adapter.load_config().providers:
        if provider.api_key_env:
            monkeypatch.setenv(provider.api_key_env, "key")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        assert isinstance(adapter.router(), litellm.Router)


STOPS = "LiteLLM does not start with it"


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("enable_cost_tracking", True, "note: config.yaml:1: router_settings.enable_cost_tracking"),
        ("health_check_interval", 60, STOPS),
        ("routing_strategy", "fastest", STOPS),
        ("routing_strategy", ["least-busy"], STOPS),
    ],
)
def test_an_import_writes_nothing_that_a_router_refuses(
    config_dir: Path, name: str, value: Any, told: str
) -> None:
    params = {"model": "groq/m", "api_key": "os.environ/GROQ_API_KEY"}
    data = {
        "model_list": [{"model_name": "groq", "litellm_params": params}],
        "router_settings": {name: value, "redis_host": "os.environ/REDIS_HOST"},
    }
    Path("config.yaml").write_text(json.dumps(data))

    done = run("config", "import", "config.yaml")

    assert told in done.err
    assert done.code == int(told == STOPS)
    settings = adapter.load_config().settings["router_settings"]
    assert dict(settings) == {"redis_host": "os.environ/REDIS_HOST"}


@pytest.mark.usefixtures("path")
def test_an_export_has_nothing_with_which_litellm_would_not_start() -> None:
    done = run("config", "export")
    assert "note: router_settings.routing_strategy is not in the file: it is 'fastest'" in done.err
    settings = yaml.safe_load(done.out)["router_settings"]
    assert settings == {
        "redis_host": "os.environ/REDIS_HOST",
        "redis_port": 6379,
        "allowed_fails": 7,
        "cache_kwargs": {"ssl": "os.environ/REDIS_SSL"},
    }


def test_the_table_has_what_the_installed_router_takes() -> None:
    assert setting_names() <= ROUTER_SETTINGS
