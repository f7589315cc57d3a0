"""Which settings are secrets: by the names on the way to them, or by what they look like."""

from __future__ import annotations

from typing import Any

import pytest

from adapter.editing.edits import masked_diff
from adapter.secrets.policy import has_secret, is_certain, is_secret, mask_secrets


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("redis_password",), "x"),
        (("extra_headers", "Authorization"), "x"),
        (("extra_headers", "Authorization"), "$2b$10$hashed"),
        (("headers", "X-JWT"), "x"),
        (("alert_to_webhook_url", "budget_alerts"), "https://hooks.example/T1"),
        (("database_url",), "postgresql://u:pw@db/x"),
        (("database_url",), "postgresql://llm:p#ss/more@db:5432/l"),
        (("proxy",), "http://u:sec/ret@h:1"),
        (("database_url",), "postgresql://db/litellm?user=llm&password=x"),
        (("url",), "https://h/p?api_key=x"),
        (("extra_headers", "X-Forward"), "Bearer abc"),
        (("extra_headers", "X-Thing"), "eyJhbGciOiJIUzI1NiJ9.e30.x"),
        (("anything",), "sk-proj-0123456789abcdef"),
        (("api_key",), "os.environ/X; rm -rf ~"),
        (("anything",), b"bytes"),
    ],
)
def test_secrets(path: tuple[str, ...], value: Any) -> None:
    assert is_secret(path, value)
    assert has_secret(path, [[value]])
    assert has_secret(path[:-1], {"deep": [{path[-1]: value}]})


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("api_key",), "os.environ/MY_KEY"),
        (("api_key",), " "),
        (("max_tokens",), 77),
        (("key_management_system",), "google_kms"),
        (("key_management_settings", "prefix"), "litellm/"),
        (("redis_url",), "redis://host:6379/0"),
        (("base",), "http://host:8000/v1"),
        (("model_group_alias", "my-token"), "groq/llama"),
        (("model",), "hf-internal-testing-model-name"),
        (("model",), "skynet-large-instruct-2"),
        (("url",), "https://h/p?keyboard"),
        (("extra_headers", "Authorization"), "$MY_HEADER"),
        (("prompt_cache_key",), "gptme-main"),
        (("extra_body", "stop_token"), "<|endoftext|>"),
        (("extra_body", "bos-token"), "<s>"),
        (("extra_body", "additionalSpecialTokens"), "<|im_start|>"),
    ],
)
def test_no_secrets(path: tuple[str, ...], value: Any) -> None:
    assert not is_secret(path, value)
    assert not has_secret(path, [value])


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("redis_password",), "hunter2-hunter2"),
        (("extra_body", "apiKey"), "literal-key"),
        (("aws_secret_access_key",), "literal-key"),
        (("aws_session_token",), "literal-token"),
        (("litellm_settings", "azure_key"), "0a1b2c3d4e5f60718293a4b5c6d7e8f9"),
        (("extra_headers", "X-Token"), "literal-token"),
        (("headers", "X-Forward"), "Bearer abc"),
        (("database_url",), "postgresql://u:pw@db/x"),
        (("anything",), "sk-proj-0123456789abcdef"),
        (("anything",), "Bearer abc123"),
    ],
)
def test_certain_secrets(path: tuple[str, ...], value: str) -> None:
    assert is_certain(path, value)
    assert is_secret(path, value)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("prompt_cache_key",), "gptme-main"),
        (("extra_body", "stop_token"), "<|endoftext|>"),
        (("extra_body", "end_token"), "<|im_end|>"),
        (("extra_body", "sort_key"), "relevance"),
        (("router_settings", "cache_keys"), "messages"),
        (("extra_body", "style"), "Basic English"),
        (("extra_body", "note"), "bearer of 3 messages"),
        (("redis_password",), "os.environ/REDIS_PASSWORD"),
    ],
)
def test_what_may_be_a_secret_is_not_certain_to_be_one(path: tuple[str, ...], value: str) -> None:
    assert not is_certain(path, value)


def test_masked_parameters_hide_what_is_secret_at_any_depth() -> None:
    params = {
        "model": "m",
        "api_key": "k",
        "extra_body": {"password": "p", "list": [{"token": "t"}], "size": 3},
        "extra_headers": {"Authorization": "$MINE", "X-Team": "blue"},
    }
    assert mask_secrets(params) == {
        "model": "m",
        "api_key": "***",
        "extra_body": {"password": "***", "list": [{"token": "***"}], "size": 3},
        "extra_headers": {"Authorization": "$MINE", "X-Team": "blue"},
    }


@pytest.mark.parametrize(
    "line",
    [
        'PW = "pä\\"ssword-canary"',
        'TAB = "aaaa\\tcanaryä"',
        'U = "\\u00e4\\"ssword-canary"',
        "L = 'p\"ä-canary-literal'",
    ],
)
def test_a_diff_masks_a_secret_however_it_is_spelled(line: str) -> None:
    assert "canary" not in masked_diff("[env]\n", f"[env]\n{line}\n", "f")


def test_what_a_provider_is_called_makes_no_secret() -> None:
    table = "[plugin.litellm.providers.my-token-relay]\n"
    diff = masked_diff("", table + 'user = "someone"\nextra_body = { key = "kkk" }\n', "f")
    assert 'user = "someone"' in diff
    assert "kkk" not in diff
