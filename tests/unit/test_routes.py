"""Which way a query goes: through a gateway only where its answer would be the same."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from adapter.call.resolution import resolve
from adapter.config.loading import load_config
from adapter.gateway.fingerprints import fingerprints
from adapter.gateway.runtime import Gateway, Slot
from adapter.keys.precedence import Secret
from adapter.query.answers import Query
from adapter.query.routes import STALE, Way, own_way
from tests.command import run
from tests.recorder import Recorder

CONFIG = """\
[[providers]]
name = "groq"
base_url = "https://api.groq.com/openai/v1"
api_key = "sk-canary"
default_model = "llama"
"""

Start = Callable[[int], Gateway]


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    """Publish what a gateway of the configuration of now publishes; this process holds its lock."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))
    slots = []

    def publish(port: int) -> Gateway:
        config = load_config()
        slots.append(Slot())
        return slots[-1].publish(
            url=f"http://127.0.0.1:{port}",
            port=port,
            pid=os.getpid(),
            key=Secret("sk-master"),
            salt=f"salt-{port}",
            fingerprints=fingerprints(config, f"salt-{port}"),
            config=config.paths,
            workers=2,
            detached=True,
            log=None,
            started=1.0,
        )

    yield publish
    for slot in slots:
        slot.close(discard=True)


def way(**params: Any) -> Way:
    config = load_config()
    query = Query("groq", [{"role": "user", "content": "hi"}], params, None)
    return own_way(config, query, resolve("groq", config))


def test_through_the_gateway_that_runs(write: Callable[..., Path], start: Start) -> None:
    write(CONFIG)
    assert way().why == "no gateway runs"
    gateway = start(4001)
    assert way().why == f"through the gateway at {gateway.url}"
    assert way().model == "groq/llama"


@pytest.mark.parametrize("name", ["config.toml", "config.local.toml"])
def test_a_new_file_beside_the_configuration_makes_it_stale(
    write: Callable[..., Path], start: Start, name: str
) -> None:
    path = write(CONFIG)
    start(4001)
    (path.parent / name).write_text('[env]\nX = "1"\n[plugin.litellm.providers.groq]\nseed = 1\n')
    assert way() == Way(None, STALE, stale=True)
    (path.parent / name).write_text("")
    assert way().route is not None


def test_of_several_the_current_one_is_taken(write: Callable[..., Path], start: Start) -> None:
    write(CONFIG)
    start(4001)
    write(CONFIG.replace('"llama"', '"llama2"'))
    assert way().stale
    second = start(4002)
    assert way().why == f"through the gateway at {second.url}"
    write(CONFIG.replace('"llama"', '"llama3"'))
    assert way().stale


@pytest.mark.parametrize(
    ("setting", "why"),
    [
        ("[plugin.litellm.litellm_settings]\ncache = true", "litellm_settings.cache acts in a"),
        ("[plugin.litellm.router_settings]\ntimeout = 3", "router_settings.timeout acts in a"),
        (
            "[plugin.litellm.router_settings]\ndisable_cooldowns = false",
            "router_settings.disable_cooldowns acts in a gateway only",
        ),
        (
            "[plugin.litellm.general_settings]\nmax_parallel_requests = 3",
            "general_settings.max_parallel_requests acts in a gateway only",
        ),
        ("[plugin.litellm.providers.groq]\nrpm = 1", "provider 'groq' has rpm"),
    ],
)
def test_what_only_a_gateway_does_is_not_done(
    write: Callable[..., Path], start: Start, setting: str, why: str
) -> None:
    write(f"{CONFIG}{setting}\n")
    start(4001)
    found = way()
    assert (found.route, found.stale) == (None, False)
    assert why in found.why


def test_settings_that_change_no_answer(write: Callable[..., Path], start: Start) -> None:
    write(
        CONFIG
        + '[plugin.litellm.router_settings]\nrouting_strategy = "least-busy"\nnum_retries = 2\n'
        + "disable_cooldowns = true\n"
        + "[plugin.litellm.litellm_settings]\nfallbacks = []\ndisable_streaming_logging = true\n"
    )
    start(4001)
    found = way()
    assert found.route is not None
    assert found.also == {"num_retries": 0, "disable_fallbacks": True}


@pytest.mark.parametrize("package", ["litellm", "gptme_litellm"])
def test_another_version_of_a_package_makes_it_stale(
    write: Callable[..., Path],
    start: Start,
    package: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write(CONFIG)
    start(4001)
    (tmp_path / f"{package}-99.0.dist-info").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    assert way().stale


def test_status_says_whether_it_is_used(write: Callable[..., Path], start: Start) -> None:
    path = write(CONFIG)
    start(4001)
    assert f"Configuration: {path} (up to date)\n" in run("serve", "--status").out
    write(f"{CONFIG}[plugin.litellm.litellm_settings]\ncache = true\n")
    assert "(stale: " in run("serve", "--status").out
    start(4002)
    assert (
        "(up to date, but queries go without it: litellm_settings.cache acts in a gateway only)"
        in run("serve", "--status").out
    )


def test_status_with_a_broken_configuration(write: Callable[..., Path], start: Start) -> None:
    write(CONFIG)
    start(4001)
    write("[[providers]]\nname = 3\n")
    done = run("serve", "--status")
    assert done.code == 0
    assert "Gateway: http://127.0.0.1:4001" in done.out
    assert "unknown: the configuration of now has errors" in done.out
    assert "gptme.toml:2" in done.err


def test_status_runs_no_command(write: Callable[..., Path], start: Start, tmp_path: Path) -> None:
    said = tmp_path / "said"
    write(
        CONFIG.replace('api_key = "sk-canary"\n', "")
        + f'[plugin.litellm.providers.groq]\napi_key_cmd = "echo >> {said}; echo sk-1"\n'
    )
    start(4001)
    said.unlink()
    from adapter.keys import sources as key_sources

    key_sources._printed.clear()
    assert "(up to date)" in run("serve", "--status").out
    assert not said.exists()


def test_a_gateway_that_cannot_be_reached_is_told(
    write: Callable[..., Path], start: Start, server: Recorder
) -> None:
    write(CONFIG.replace("https://api.groq.com/openai/v1", server.base_url))
    gateway = start(1)  # a port where nobody listens
    done = run("-m", "groq", "hi")
    assert done.out == "Hello, world\n"
    told = f"adapter: the gateway at {gateway.url} cannot be reached; answering without it\n"
    assert done.err == told
