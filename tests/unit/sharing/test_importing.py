"""``adapter config import``: samples after shapes seen in public files, and round trips."""

from __future__ import annotations

import json
import os
import shutil
import string
from collections.abc import Callable
from pathlib import Path
from typing import Any

import litellm
import pytest
import tomli
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from adapter.config.loading import Config, load_config
from adapter.config.provider import Provider
from adapter.errors import ConfigError
from adapter.keys.precedence import default_variable
from adapter.sharing.applying import check_import, write_import
from adapter.sharing.exporting import export
from adapter.sharing.importing import plan_import
from tests.command import run

SAMPLES = Path(__file__).parents[2] / "samples"
WRITE_EXPECTED = "ADAPTER_WRITE_EXPECTED" in os.environ  # tests do not see it
NAMES = sorted(path.stem for path in SAMPLES.glob("*.yaml"))


@pytest.fixture
def samples() -> Path:
    """A copy of the samples as the working folder, so that reports have short names in them."""
    for path in SAMPLES.glob("*.*"):
        shutil.copy(path, path.name)
    return Path.cwd()


def imported(name: str, *args: str) -> tuple[str, dict[str, Any]]:
    """Import a sample into a new file; return what is expected beside it, and the file's data."""
    done = run("config", "import", f"{name}.yaml", "--to", "new.toml", *args)
    target = Path("new.toml")
    text = target.read_text(encoding="utf-8") if target.exists() else ""
    shown = f"exit {done.code}\n\n{done.out}{done.err}\n{text}"
    return shown, tomli.loads(text)


def test_there_are_samples() -> None:
    assert len(NAMES) >= 8


@pytest.mark.parametrize("name", NAMES)
def test_samples_become_what_is_expected(
    samples: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GATEWAY_BASE", "https://gateway.example/v1")
    shown, data = imported(name)
    expected = SAMPLES / f"{name}.expected"
    if WRITE_EXPECTED:  # pragma: no cover
        expected.write_text(shown, encoding="utf-8")
    assert shown == expected.read_text(encoding="utf-8")
    assert "canary" not in shown
    assert load_config("new.toml").providers
    fields = {"name", "base_url", "api_key_env", "default_model"}
    assert all(set(table) <= fields for table in data["providers"])


@pytest.mark.parametrize("name", NAMES)
def test_importing_again_changes_nothing(
    samples: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GATEWAY_BASE", "https://gateway.example/v1")
    imported(name)
    before = Path("new.toml").read_bytes()
    again = run("config", "import", f"{name}.yaml", "--to", "new.toml")
    assert again.code in (0, 1), again.err
    assert "nothing to change in" in again.err
    assert Path("new.toml").read_bytes() == before


@pytest.mark.parametrize("name", NAMES)
def test_import_then_export_routes_every_name_as_before(
    samples: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """LiteLLM's own Router finds the same base, model and key variable, under the same name."""
    monkeypatch.setenv("GATEWAY_BASE", "https://gateway.example/v1")
    imported(name)
    plan = plan_import(f"{name}.yaml")
    original = yaml.safe_load(Path(f"{name}.yaml").read_text())["model_list"]
    exported = yaml.safe_load(export(load_config("new.toml")).text)
    if name == "sections":
        included = yaml.safe_load(Path("sections_models.yaml.inc").read_text())
        original = original + included["model_list"]
    for model_name in plan.routes:
        asked = model_name.replace("*", "any/model:id")
        found = [e for e in original if isinstance(e, dict) and e.get("model_name") == model_name]
        wanted = found[0]["litellm_params"]
        base, model, key_sent = routed(exported, asked, monkeypatch)
        provider = next(p for p in plan.providers if p.base_url == base)
        given = str(wanted.get("model"))
        tail = given.partition("/")[2] if "/" in given else given
        assert model.endswith(tail.replace("*", "any/model:id"))
        key = str(wanted.get("api_key") or "")
        if key.startswith("os.environ/"):
            assert key_sent in (key, f"value of {key}")
        own = wanted.get("base_url") or wanted.get("api_base")
        if isinstance(own, str) and not own.startswith("os.environ/"):
            assert base == own.rstrip("/").removesuffix("/chat/completions")
        assert provider.base_url == base


def routed(
    exported: dict[str, Any], name: str, monkeypatch: pytest.MonkeyPatch
) -> tuple[str, str, str]:
    """Return base, model id and key with which LiteLLM's Router would call ``name``."""
    for entry in exported["model_list"]:
        key = entry["litellm_params"]["api_key"]
        if key.startswith("os.environ/"):
            monkeypatch.setenv(key.removeprefix("os.environ/"), f"value of {key}")
    aliases = exported.get("router_settings", {}).get("model_group_alias", {})
    router = litellm.Router(model_list=exported["model_list"], model_group_alias=aliases)
    found = router.get_available_deployment(
        model=name, messages=[{"role": "user", "content": "q"}]
    )["litellm_params"]
    model = str(found["model"]).partition("/")[2]
    return found["api_base"], model.replace("*", name.partition("/")[2]), found["api_key"]


NAME = st.text(string.ascii_lowercase + string.digits + "-_.é日", min_size=1, max_size=10)
MODEL = st.text(string.ascii_letters + string.digits + "-_/:.@", min_size=1, max_size=16).filter(
    lambda m: not m.startswith(("responses/", "/")) and m.strip("/")
)
PROVIDER = st.builds(
    Provider,
    name=NAME,
    base_url=st.integers(1, 9).map(lambda n: f"https://host{n}.example/v1"),
    api_key_env=st.none() | st.sampled_from(["KEY_ONE", "KEY_TWO"]),
    default_model=st.none() | MODEL,
    extras=st.dictionaries(
        st.sampled_from(["timeout", "rpm", "max_tokens", "drop_params", "custom_llm_provider"]),
        st.integers(0, 10**6),
    ).map(
        lambda e: {**e, "custom_llm_provider": "hosted_vllm"} if "custom_llm_provider" in e else e
    ),
)


def identity(provider: Provider) -> tuple[Any, ...]:
    variable = provider.api_key_env or default_variable(provider.name)
    return (provider.base_url, variable)


@settings(max_examples=150, deadline=None)
@given(st.lists(PROVIDER, min_size=1, max_size=5, unique_by=lambda p: p.name))
def test_export_then_import_gives_the_same_providers(providers: list[Provider]) -> None:
    kept = {identity(p): p for p in providers}
    providers = [p for p in providers if kept[identity(p)] is p]
    folder = Path("round-trip")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    source, target = folder / "config.yaml", folder / "gptme.toml"
    config = Config(providers=tuple(providers))
    # keys by the conventional variable are there, so that the export names it
    env = {default_variable(p.name): "k" for p in providers}
    config = Config(
        providers=tuple(
            Provider(p.name, p.base_url, None, p.api_key_env, p.default_model, p.extras, (), env)
            for p in providers
        ),
        env=env,
    )
    source.write_text(export(config).text, encoding="utf-8")
    plan = plan_import(source)
    assert not plan.left_out
    write_import(plan, Config(), target)
    back = load_config(target).providers
    assert [p.name for p in back] == [p.name for p in providers]
    for before, after in zip(providers, back, strict=True):
        assert identity(after) == identity(before)
        assert after.default_model == before.default_model
        assert dict(after.extras) == dict(before.extras)
        assert after.api_key is None


EXISTING = """\
# my providers
[[providers]]  # the fast one
name = "groq"
base_url = "https://api.groq.com/openai/v1/"
default_model = "llama-3.1-8b-instant"

[models]
default = "groq"  # keep me

[unknown.table]
x = 1
"""


def test_an_existing_provider_is_found_again(samples: Path, write: Callable[..., Path]) -> None:
    path = write(EXISTING, mode=0o640)
    done = run("config", "import", "cloud.yaml")
    text = path.read_text(encoding="utf-8")
    assert f"wrote {path}" in done.err
    assert text.startswith(EXISTING.partition("\n[models]")[0])
    assert "# keep me" in text
    assert "[unknown.table]\nx = 1" in text
    assert path.stat().st_mode & 0o777 == 0o640
    config = load_config()
    assert [p.name for p in config.providers] == ["groq", "deepseek", "mistral", "openrouter"]
    assert config.provider("groq").base_url == "https://api.groq.com/openai/v1/"
    assert config.default_model == "groq"


def test_a_provider_that_differs_is_not_overwritten(
    samples: Path, write: Callable[..., Path]
) -> None:
    text = EXISTING.replace("llama-3.1-8b-instant", "mine").replace("api.groq.com", "other.example")
    path = write(text)
    done = run("config", "import", "cloud.yaml")
    assert (done.code, done.out) == (2, "")
    assert (
        "provider 'groq': base_url is https://other.example/openai/v1/, and the import says"
        in done.err
    )
    assert "default_model is 'mine', and the import says 'llama-3.1-8b-instant'" in done.err
    assert "--replace" in done.err
    assert path.read_text() == text
    done = run("config", "import", "cloud.yaml", "--replace")
    assert done.code == 1
    assert load_config().provider("groq").base_url == "https://api.groq.com/openai/v1"
    assert "# the fast one" in path.read_text()


def test_a_setting_that_differs_is_not_overwritten(
    samples: Path, write: Callable[..., Path]
) -> None:
    path = write("[plugin.litellm.router_settings]\nrouting_strategy = 'mine'\n")
    done = run("config", "import", "replicas.yaml")
    assert done.code == 2
    assert (
        "router_settings.routing_strategy is 'mine', and the import says 'least-busy'" in done.err
    )
    assert path.read_text().endswith("'mine'\n")
    assert run("config", "import", "replicas.yaml", "--replace").code == 1
    assert load_config().settings["router_settings"]["routing_strategy"] == "least-busy"


def test_a_dry_run_prints_the_diff_and_writes_nothing(
    samples: Path, write: Callable[..., Path]
) -> None:
    path = write(EXISTING)
    done = run("config", "import", "cloud.yaml", "--dry-run", "--include-secrets")
    assert path.read_text() == EXISTING
    assert f"--- {path}\n+++ {path}\n" in done.out
    assert '+name = "deepseek"\n' in done.out
    assert sorted(p.name for p in path.parent.iterdir()) == ["gptme.toml"]


def test_secrets_go_to_a_private_file_when_asked_for(
    samples: Path, write: Callable[..., Path]
) -> None:
    local = write("# mine\n", "config.local.toml", mode=0o644)
    shown = run("config", "import", "secrets.yaml", "--include-secrets", "--dry-run")
    assert "canary" not in shown.out + shown.err
    assert 'api_key = "***"' in shown.out
    done = run("config", "import", "secrets.yaml", "--include-secrets")
    assert "canary" not in done.out + done.err
    assert local.stat().st_mode & 0o777 == 0o600
    assert "canary" not in (local.parent / "gptme.toml").read_text()
    config = load_config()
    assert config.provider("groq").api_key == "gsk_canary_groq_0123456789"
    headers = config.provider("three").extras["extra_headers"]
    assert headers == {"Authorization": "Basic canary-header"}
    assert config.settings["general_settings"]["master_key"] == "sk-canary-master-0123456789"
    assert config.settings["litellm_settings"]["cache_params"]["password"] == "canary-redis"
    assert config.settings["litellm_settings"]["cache_params"]["host"] == "localhost"
    assert config.getenv("LANGFUSE_SECRET_KEY") == "canary-langfuse"
    assert local.read_text().startswith("# mine\n")


def test_all_of_it_is_exit_code_0(samples: Path) -> None:
    assert run("config", "import", "exported.yaml", "--to", "x.toml").code == 0


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("model_list: [\n", "x.yaml:2: not valid YAML"),
        ("- a", "the file is not a mapping"),
        ("", "the file is empty"),
        ("include: [nothing.yaml]", "x.yaml:1: include 'nothing.yaml': cannot be read"),
        ("include: models.yaml", "include is not a list"),
        ("a: !!python/object/apply:os.system [touch pwned]", "tags are not executed"),
        ("model_list: \0", "control character"),
        ("a: &a [*a]", "contains itself"),
        ("a: " + "[" * 200 + "]" * 200, "nested deeper than 100"),
        ("a: 2024-13-01", "not usable YAML"),
    ],
)
def test_bad_files_are_one_clear_message(text: str, words: str) -> None:
    Path("x.yaml").write_text(text)
    done = run("config", "import", "x.yaml", "--to", "x.toml")
    assert (done.code, done.out) == (2, "")
    assert words in done.err
    assert "Traceback" not in done.err
    assert not Path("x.toml").exists()
    assert not Path("pwned").exists()


def test_an_alias_bomb_is_refused() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    Path("x.yaml").write_text("\n".join(lines))
    done = run("config", "import", "x.yaml", "--to", "x.toml")
    assert done.code == 2
    assert "aliases written out" in done.err


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_what_is_no_file_is_refused(make: Callable[[str], None]) -> None:
    make("x.yaml")
    done = run("config", "import", "x.yaml")
    assert done.code == 2
    assert "not a regular file" in done.err


def test_a_file_that_is_not_there() -> None:
    done = run("config", "import", "no.yaml")
    assert done.code == 2
    assert "no.yaml: cannot be read: No such file" in done.err


def test_nothing_is_executed_or_fetched(
    samples: Path, adapter: Callable[..., Any], tmp_path: Path
) -> None:
    Path("my_callbacks.py").write_text("open('executed', 'w')\n")
    done = adapter("config", "import", "secrets.yaml", "--to", "x.toml")
    assert done.returncode == 1
    assert not Path("executed").exists()


def test_litellm_is_not_imported(samples: Path) -> None:
    import subprocess
    import sys

    code = (
        "import sys; from adapter.cli.main import run; "
        "run(['config', 'import', 'cloud.yaml', '--to', 'x.toml']); "
        "sys.exit('litellm' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_differences_show_no_key() -> None:
    Path("x.yaml").write_text(
        json.dumps(
            {
                "model_list": [
                    {
                        "model_name": "a",
                        "litellm_params": {"model": "groq/a", "api_key": "canary-2"},
                    }
                ]
            }
        )
    )
    existing = Provider("groq", "https://api.groq.com/openai/v1", "canary-1", default_model="b")
    plan = plan_import("x.yaml", Config(providers=(existing,)))
    with pytest.raises(ConfigError) as caught:
        check_import(plan, Config(providers=(existing,)), "t.toml")
    assert "default_model" in str(caught.value)
    assert "canary" not in str(caught.value) + repr(plan) + repr(plan.providers[0])


def yaml_of(*entries: dict[str, Any], **sections: Any) -> None:
    Path("x.yaml").write_text(json.dumps({"model_list": list(entries), **sections}))


def entry(name: str, **params: Any) -> dict[str, Any]:
    return {"model_name": name, "litellm_params": params}


def test_an_old_key_does_not_go_to_a_new_base(write: Callable[..., Path]) -> None:
    path = write('[[providers]]\nname = "groq"\nbase_url = "https://old"\napi_key = "canary"\n')
    yaml_of(entry("a", model="groq/a", api_key="os.environ/GROQ_API_KEY"))
    done = run("config", "import", "x.yaml")
    assert done.code == 2
    assert "api_key is a key, and the import says $GROQ_API_KEY" in done.err
    assert run("config", "import", "x.yaml", "--replace").code == 0
    assert "canary" not in path.read_text()
    (groq,) = load_config().providers
    assert (groq.base_url, groq.api_key) == ("https://api.groq.com/openai/v1", None)
    assert groq.api_key_env == "GROQ_API_KEY"


def test_an_export_with_a_key_of_ones_own_comes_back(write: Callable[..., Path]) -> None:
    path = write('[[providers]]\nname = "x"\nbase_url = "http://x/v1"\napi_key = "canary"\n')
    Path("x.yaml").write_text(run("config", "export").out)
    before = path.read_text()
    assert run("config", "import", "x.yaml").code == 0
    assert path.read_text() == before
    yaml_of(entry("x", model="openai/m", api_base="http://x/v1", api_key="os.environ/OTHER"))
    assert run("config", "import", "x.yaml").code == 2


def test_a_key_in_another_file_stops_a_replacement(write: Callable[..., Path]) -> None:
    write('[[providers]]\nname = "groq"\nbase_url = "https://old"\n')
    local = write('[[providers]]\nname = "groq"\napi_key = "canary"\n', "config.local.toml")
    yaml_of(entry("a", model="groq/a", api_key="os.environ/GROQ_API_KEY"))
    done = run("config", "import", "x.yaml", "--replace")
    assert done.code == 2
    assert f"{local}: provider 'groq': api_key is here and would still count" in done.err
    assert load_config().provider("groq").base_url == "https://old"


def test_a_field_in_a_file_that_wins_stops_a_replacement(write: Callable[..., Path]) -> None:
    write('[[providers]]\nname = "groq"\nbase_url = "https://old"\n')
    write('[[providers]]\nname = "groq"\nbase_url = "https://local"\n', "config.local.toml")
    yaml_of(entry("a", model="groq/a"))
    done = run("config", "import", "x.yaml", "--replace")
    assert done.code == 2
    assert "base_url is here and would still count" in done.err


def test_secrets_that_differ_are_not_overwritten(write: Callable[..., Path]) -> None:
    local = write(
        '[env]\nA = "old"\n[[providers]]\nname = "groq"\n'
        'base_url = "https://api.groq.com/openai/v1"\napi_key = "canary-old"\n'
        '[plugin.litellm.providers.groq.extra_headers]\nAuthorization = "canary-header"\n'
        '[plugin.litellm.general_settings]\nmaster_key = "canary-master"\n',
        "config.local.toml",
    )
    yaml_of(
        entry("a", model="groq/a", api_key="gsk_new", extra_headers={"Authorization": "new"}),
        environment_variables={"A": "new"},
        general_settings={"master_key": "new"},
    )
    before = local.read_text()
    done = run("config", "import", "x.yaml", "--include-secrets")
    assert done.code == 2
    for words in ("api_key is a key", "extra_headers.Authorization", "master_key", "[env] A"):
        assert words in done.err
    assert "canary" not in done.err
    assert local.read_text() == before
    assert run("config", "import", "x.yaml", "--include-secrets", "--replace").code == 0
    assert load_config().provider("groq").api_key == "gsk_new"
    assert "canary" not in local.read_text()


def test_a_server_without_a_key_is_not_called_openai(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "canary")
    yaml_of(entry("openai", model="openai/x", api_base="http://gpu:8000/v1"))
    run("config", "import", "x.yaml", "--to", "new.toml")
    (provider,) = load_config("new.toml").providers
    assert provider.name == "gpu-8000"
    assert provider.resolve_key().value == "default-key"


@pytest.mark.parametrize("name", ["openai/*", "groq/*", "anthropic"])
def test_a_foreign_server_without_a_key_gets_no_vendors_name(name: str) -> None:
    model = "openai/*" if "*" in name else "openai/m"
    yaml_of(entry(name, model=model, api_base="http://vllm.corp.example/v1", api_key="EMPTY"))
    run("config", "import", "x.yaml", "--to", "new.toml")
    (provider,) = load_config("new.toml").providers
    assert provider.name == "vllm-corp-example"


def test_empty_mappings_are_no_recursion() -> None:
    yaml_of(entry("x", model="groq/m", extra_body={"e": {}}), litellm_settings={"cache_params": {}})
    assert run("config", "import", "x.yaml", "--to", "new.toml").code == 0


def test_the_default_of_a_reference_is_not_shown() -> None:
    yaml_of(entry("x", model="groq/m", api_key="${GROQ_API_KEY:-sk-canary}"))
    done = run("config", "import", "x.yaml", "--to", "new.toml")
    assert "canary" not in done.out + done.err
    assert load_config("new.toml").provider("groq").api_key_env == "GROQ_API_KEY"


def test_the_file_named_is_read_with_those_beside_it(write: Callable[..., Path]) -> None:
    path = write('[[providers]]\nname = "groq"\nbase_url = "https://old"\n')
    write('[[providers]]\nname = "groq"\napi_key = "canary"\n', "config.local.toml")
    yaml_of(entry("a", model="groq/a", api_key="os.environ/GROQ_API_KEY"))
    done = run("config", "import", "x.yaml", "--replace", "--to", str(path))
    assert done.code == 2
    assert "api_key is here and would still count" in done.err
