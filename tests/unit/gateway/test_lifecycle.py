"""What keeps a gateway from starting, and what its process is given."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from adapter.config.loading import load_config
from adapter.config.provider import is_loopback
from adapter.errors import GatewayError
from adapter.gateway.lifecycle import start_gateway
from adapter.gateway.settings import fingerprint, proxy_config
from tests.command import needs_gateway, provider, run

CONFIG = """\
[[providers]]
name = "groq"
base_url = "https://api.groq.com/openai/v1"
api_key = "sk-canary"
default_model = "llama"

[[providers]]
name = "other"
base_url = "http://localhost:8000/v1"
api_key_env = "OTHER_KEY"
"""


@pytest.fixture(autouse=True)
def runtime_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))
    return tmp_path / "run" / "gptme-litellm"


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield int(listener.getsockname()[1])


@needs_gateway
def test_a_taken_port_is_said_at_once(
    write: Callable[..., Path], taken: int, runtime_dir: Path
) -> None:
    write(CONFIG)
    done = run("serve", "--port", str(taken))
    assert done.code == 2
    assert f"cannot listen on 127.0.0.1:{taken}: Address already in use" in done.err
    assert "choose another port with --port" in done.err
    assert not runtime_dir.exists()


@needs_gateway
@pytest.mark.parametrize("host", ["no.such.host.invalid", "256.1.1.1", "a" * 70, ""])
def test_a_host_that_is_none(
    write: Callable[..., Path], host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(CONFIG)
    monkeypatch.setenv("LITELLM_MASTER_KEY", "sk-a-long-enough-master-key")
    done = run("serve", "--host", host, "--port", "1")
    assert done.code == 2
    assert "cannot listen on" in done.err
    assert "Traceback" not in done.err


@pytest.mark.parametrize("module", ["fastapi", "uvicorn"])
def test_a_missing_extra_says_what_to_install(
    write: Callable[..., Path], module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(CONFIG)
    monkeypatch.setitem(sys.modules, module, None)
    done = run("serve")
    assert done.code == 2
    assert 'pip install "gptme-litellm[gateway]"' in done.err


@needs_gateway
@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.org"])
def test_another_host_needs_a_key_of_ones_own(
    write: Callable[..., Path], host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(CONFIG)
    done = run("serve", "--host", host)
    assert done.code == 2
    assert f"--host {host} is open to others" in done.err
    assert "LITELLM_MASTER_KEY" in done.err
    monkeypatch.setenv("LITELLM_MASTER_KEY", "sk-1234")
    done = run("serve", "--host", host)
    assert "shorter than 16 characters" in done.err


@needs_gateway
def test_the_master_key_may_stand_in_the_configuration(write: Callable[..., Path]) -> None:
    write(CONFIG + '[plugin.litellm.general_settings]\nmaster_key = "os.environ/MINE"\n')
    assert "is open to others" in run("serve", "--host", "0.0.0.0").err
    write(CONFIG + '[plugin.litellm.general_settings]\nmaster_key = "short"\n')
    assert "shorter than 16" in run("serve", "--host", "0.0.0.0").err


@needs_gateway
def test_nothing_to_serve(config_dir: Path) -> None:
    done = run("serve")
    assert done.code == 2
    assert "no provider is configured" in done.err


@needs_gateway
def test_what_stands_in_the_way_is_told_before_it_starts(
    write: Callable[..., Path], taken: int
) -> None:
    write(provider("http://localhost:1/v1", "unset", api_key_env="NOT_SET"))
    done = run("serve", "--detach", "--port", "0")
    assert done.code == 2
    assert done.err.startswith("Error: there is nothing to serve: provider 'unset' takes its key")
    write(provider("http://localhost:1/v1"))
    done = run("serve", "--detach", "--port", str(taken))
    assert done.code == 2
    assert done.err.startswith("Error: cannot listen on 127.0.0.1:")


@pytest.mark.parametrize(
    "args",
    [
        ["--stop", "--restart"],
        ["--stop", "--status"],
        ["--detach", "--key"],
        ["--detach", "--stop"],
    ],
)
def test_options_that_exclude_each_other(args: list[str]) -> None:
    assert run("serve", *args).code == 2


def test_nothing_runs(config_dir: Path) -> None:
    assert run("serve", "--status") == (1, "", "no gateway runs\n")
    assert run("serve", "--stop") == (0, "", "no gateway runs in the background\n")
    done = run("serve", "--key")
    assert (done.code, done.out) == (2, "")
    assert "adapter serve --detach" in done.err


def test_loopback() -> None:
    assert [h for h in ("127.0.0.1", "127.9.9.9", "::1", "[::1]", "localhost") if is_loopback(h)]
    assert not [h for h in ("0.0.0.0", "::", "10.0.0.1", "localhost.evil", "") if is_loopback(h)]


def test_no_key_is_in_the_configuration(
    write: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    write(CONFIG)
    proxy = proxy_config(load_config())
    assert proxy.variables == {"GATEWAY_KEY_1": "sk-canary"}
    assert "sk-canary" not in str(proxy.content) + repr(proxy)
    assert [e["model_name"] for e in proxy.content["model_list"]] == ["groq", "groq/*"]
    assert len(proxy.omissions) == 1
    assert "$OTHER_KEY" in proxy.omissions[0]
    monkeypatch.setenv("OTHER_KEY", "sk-2")
    proxy = proxy_config(load_config())
    assert list(proxy.variables) == ["GATEWAY_KEY_1", "GATEWAY_KEY_2"]
    entry = proxy.content["model_list"][-1]
    assert entry["litellm_params"]["api_key"] == "os.environ/GATEWAY_KEY_2"
    assert not proxy.omissions


def test_settings_of_the_user_win(write: Callable[..., Path]) -> None:
    write(
        CONFIG
        + "[plugin.litellm.router_settings]\nnum_retries = 3\n"
        + '[plugin.litellm.general_settings]\nmaster_key = "sk-of-the-user-itself"\n'
    )
    content = proxy_config(load_config()).content
    assert content["router_settings"] == {"num_retries": 3, "disable_cooldowns": True}
    assert content["general_settings"] == {"always_include_stream_usage": False}
    assert content["litellm_settings"] == {
        "models_by_provider": {"openai": []},
        "use_chat_completions_url_for_anthropic_messages": True,
    }
    assert dict(load_config().settings["router_settings"]) == {"num_retries": 3}


CHANGES: dict[str, Callable[[str], str]] = {
    "base_url": lambda text: text.replace("8000", "8001"),
    "name": lambda text: text.replace('"other"', '"another"'),
    "model": lambda text: text.replace('"llama"', '"llama2"'),
    "key": lambda text: text.replace("sk-canary", "sk-canary2"),
    "extras": lambda text: text + "[plugin.litellm.providers.groq]\ntimeout = 1\n",
    "models": lambda text: text + '[plugin.litellm.models."groq/llama"]\nmax_tokens = 1\n',
    "settings": lambda text: text + "[plugin.litellm.router_settings]\nnum_retries = 1\n",
    "env": lambda text: text + '[env]\nOTHER_KEY = "x"\n',
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_fingerprint_changes_with_what_is_configured(
    write: Callable[..., Path], change: str
) -> None:
    path = write(CONFIG)
    before = fingerprint(load_config(), "salt")
    assert fingerprint(load_config(), "salt") == before
    assert fingerprint(load_config(), "other") != before
    write(f"# a comment says nothing\n{CONFIG}")
    assert fingerprint(load_config(), "salt") == before
    path.write_text(CHANGES[change](CONFIG))
    assert fingerprint(load_config(), "salt") != before


@pytest.mark.parametrize("variable", ["OTHER_KEY", "GPTME_OTHER_KEY", "NAMED"])
def test_a_fingerprint_changes_with_the_environment(
    write: Callable[..., Path], variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(
        CONFIG
        + '[plugin.litellm.litellm_settings]\ncache_params = { password = "os.environ/NAMED" }\n'
    )
    before = fingerprint(load_config(), "salt")
    monkeypatch.setenv(variable, "value")
    assert fingerprint(load_config(), "salt") != before
    assert "value" not in str(fingerprint(load_config(), "salt"))


def test_references(write: Callable[..., Path]) -> None:
    write(
        CONFIG
        + '[plugin.litellm.router_settings]\na = "os.environ/X"\nb = ["os.environ/Y_2", "env/Z"]\n'
        + '[plugin.litellm.providers.groq]\nc = { d = "os.environ/X", e = "os.environ/W" }\n'
    )
    assert load_config().references() == ("W", "X", "Y_2")


@needs_gateway
def test_a_start_that_fails_leaves_nothing(
    write: Callable[..., Path], runtime_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(CONFIG)
    folder = runtime_dir.parent / "nothing"
    folder.mkdir(parents=True)
    # the child's interpreter is not there: starting it fails
    monkeypatch.setattr(sys, "executable", str(folder / "python"))
    before = set(os.listdir("/proc/self/fd")) if sys.platform == "linux" else set()
    with pytest.raises((GatewayError, OSError)):
        start_gateway(load_config(), port=0)
    assert [p for p in runtime_dir.iterdir() if p.name.startswith(".")] == []
    if sys.platform == "linux":
        assert set(os.listdir("/proc/self/fd")) == before
