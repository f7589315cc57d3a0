"""One provider: its fields, which names and base URLs can be used, and what its repr hides."""

from __future__ import annotations

import dataclasses
import pickle
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapter.config.provider import (
    FIELDS,
    Provider,
    base_url_fault,
    is_private_host,
    name_fault,
    safe_url,
)
from adapter.errors import MissingKeyError
from adapter.secrets.secret import Secret

SECRET = "s3cr3t"
URL = "https://api.example.com/v1"

LOADED: dict[str, Any] = {
    "api_key": SECRET,
    "extras": {"extra_headers": {"X-Token": SECRET}},
    "env": {"OTHER_API_KEY": SECRET},
}


def test_the_fields_are_gptmes_and_a_provider_has_them_all() -> None:
    assert FIELDS == ("name", "base_url", "api_key", "api_key_env", "default_model")
    assert [f.name for f in dataclasses.fields(Provider)][: len(FIELDS)] == list(FIELDS)


def test_a_provider_cannot_be_changed() -> None:
    provider = Provider("p", URL)

    with pytest.raises(dataclasses.FrozenInstanceError):
        provider.base_url = "https://elsewhere.example"  # type: ignore[misc]


@pytest.mark.parametrize(
    "url", [URL, f"https://user:{SECRET}@api.example.com/v1", f"{URL}?key={SECRET}#{SECRET}"]
)
def test_its_repr_hides_key_extras_variables_and_what_a_url_may_hold(url: str) -> None:
    shown = repr(Provider("p", url, default_model="m", api_key_env="P_KEY", **LOADED))

    assert SECRET not in shown
    assert shown == (
        "Provider(name='p', base_url='https://api.example.com/v1', api_key='***', "
        "api_key_env='P_KEY', default_model='m')"
    )


def test_its_repr_leaves_out_what_is_not_set() -> None:
    assert repr(Provider("p", URL)) == f"Provider(name='p', base_url='{URL}')"


def test_a_key_given_to_it_is_hidden_from_then_on() -> None:
    provider = Provider("p", URL, api_key=SECRET)

    assert isinstance(provider.api_key, Secret)
    assert SECRET not in repr(provider.api_key)
    assert provider.api_key == SECRET
    assert isinstance(dataclasses.replace(provider, name="q").api_key, Secret)


def test_a_provider_is_not_pickled_with_its_key_and_is_without() -> None:
    keyless = Provider("p", URL, api_key_env="P_KEY", extras={"timeout": 3})

    assert pickle.loads(pickle.dumps(keyless)) == keyless
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(dataclasses.replace(keyless, api_key=SECRET))


def test_providers_are_values_equal_by_what_the_files_say() -> None:
    one = Provider("p", URL, extras={"timeout": 3})
    same = Provider("p", URL, extras={"timeout": 3}, env={"A": "b"})

    assert one == same
    assert len({one, same}) == 1
    assert one != Provider("p", URL, extras={"timeout": 4})
    assert one != dataclasses.replace(one, default_model="m")


@pytest.mark.parametrize(
    ("fields", "source"),
    [
        ({"api_key": "k", "api_key_env": "E"}, "(configured directly)"),
        ({"api_key_env": "E"}, "$E"),
        ({}, "$VLLM_LOCAL_API_KEY (default)"),
        ({"api_key": "", "api_key_env": ""}, "$VLLM_LOCAL_API_KEY (default)"),
    ],
)
def test_the_source_of_its_key_is_known_without_reading_it(
    fields: dict[str, Any], source: str
) -> None:
    assert Provider("vllm-local", URL, **fields).key_source == source


def test_its_key_is_read_when_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    provider = Provider("p", URL, env={"P_API_KEY": "from-table"})

    assert provider.resolve_key().value == "from-table"
    monkeypatch.setenv("P_API_KEY", "from-process")
    assert provider.resolve_key().value == "from-process"
    assert provider.resolve_key(environ={}).value == "from-table"
    assert provider.resolve_key(environ={"GPTME_P_API_KEY": "given"}).value == "given"


def test_its_missing_key_is_an_error() -> None:
    with pytest.raises(MissingKeyError, match=r"provider 'p' takes its key from \$NOWHERE"):
        Provider("p", URL, api_key_env="NOWHERE").resolve_key()


@pytest.mark.parametrize(
    "name", ["groq", "vllm-local", "a.b", "under_score", "UPPER", "42", "ünï", "a:b", "local"]
)
def test_a_name_that_can_stand_before_a_slash_is_good(name: str) -> None:
    assert name_fault(name) is None


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("", "empty"),
        ("a/b", "contains '/'"),
        ("/", "contains '/'"),
        ("a b", "white space"),
        ("a\u00a0b", "white space"),
        ("a\tb", "white space or a control character"),
        ("a\x1bb", "control character"),
        ("a\u202eb", "control character"),
    ],
)
def test_a_name_that_cannot_is_faulted(name: str, fault: str) -> None:
    assert fault in (name_fault(name) or "")


@pytest.mark.parametrize(
    "url",
    [
        "http://localhost:8000/v1",
        "https://api.groq.com/openai/v1/",
        "https://api.deepseek.com",
        "HTTPS://API.EXAMPLE.COM/v1",
        "http://[::1]:8000/v1",
        "http://192.168.1.2/v1",
        "https://my-azure-endpoint.openai.azure.com/openai/deployments",
        "https://example.com/accounts/@me/v1",
        "https://example.com/chat/completions/v1",
    ],
)
def test_an_absolute_http_url_is_good(url: str) -> None:
    assert base_url_fault(url) is None


@pytest.mark.parametrize(
    ("url", "fault", "fix"),
    [
        ("localhost:8000/v1", "absolute http(s) URL", "write it like http://localhost:8000/v1"),
        ("192.168.1.2:80/v1", "absolute http(s) URL", "write it like http://192.168.1.2:80/v1"),
        ("api.groq.com/v1", "absolute http(s) URL", "write it like https://api.groq.com/v1"),
        ("ftp://example.com/v1", "absolute http(s) URL", "write it like https://example.com/v1"),
        ("//example.com/v1", "absolute http(s) URL", "write it like https://example.com/v1"),
        ("https:example.com", "absolute http(s) URL", "write it like http"),
        ("http:///v1", "absolute http(s) URL", "write it like http"),
        ("https://", "absolute http(s) URL", "write it like http"),
        ("/v1", "absolute http(s) URL", "write it like http"),
        ("http://h:99999/v1", "no valid host and port", "write it like http"),
        ("http://h:port/v1", "no valid host and port", "write it like http"),
        ("http://[::1/v1", "no valid host and port", "write it like http"),
        (" https://example.com/v1", "white space", "remove it"),
        ("https://example.com/v1\n", "white space", "remove it"),
        ("https://exa\x00mple.com/v1", "control character", "remove it"),
        (f"https://u:{SECRET}@h/v1", "user name or password", "write https://h/v1 and put the key"),
        (f"https://{SECRET}@h:1/v1", "user name or password", "write https://h:1/v1"),
        (f"{URL}?api-version={SECRET}", "query or fragment", f"write {URL}"),
        (f"{URL}#{SECRET}", "query or fragment", f"write {URL}"),
        (f"{URL}?", "query or fragment", f"write {URL}"),
        (f"{URL}/chat/completions", "/chat/completions", f"write {URL}"),
        (f"{URL}/chat/completions//", "/chat/completions", f"write {URL}"),
    ],
)
def test_any_other_url_is_faulted_with_a_fix(url: str, fault: str, fix: str) -> None:
    assert fault in (base_url_fault(url) or ("", ""))[0]
    assert fix in (base_url_fault(url) or ("", ""))[1]


# Where a secret may hide in what someone takes for a base URL.
SECRETIVE = [
    f"ftp://user:{SECRET}@host/v1",
    f"//user:{SECRET}@host/v1",
    f"user:{SECRET}@host/v1",
    f"mailto:{SECRET}@host",
    f"u/ser:{SECRET}@host/v1",
    f"host/v1?api-key={SECRET}",
    f"ftp://host/v1?api-key={SECRET}",
    f"//host/v1#{SECRET}",
    f"https://user:{SECRET}/x@host/v1",
    f"https://user:{SECRET}@[host/v1",
    f"https://user:{SECRET}@ho\u2100st/v1",
    f"https://user:{SECRET}@host:x/v1",
    f"https://user:{SECRET}@host/v1?k={SECRET}#{SECRET}",
    f"https://u/ser:{SECRET}@host/v1?k=1",
    f"https://user:1/{SECRET}@host/v1/chat/completions",
]


@pytest.mark.parametrize("url", SECRETIVE)
def test_a_fault_never_shows_what_may_be_secret(url: str) -> None:
    fault = base_url_fault(url)

    assert fault is not None
    assert SECRET not in " ".join(fault)


PIECES = """http https ftp : / // :// @ ? # [ ] host a.example 10.0.0.1 :80 ::1 v1 . x=1 localhost
/chat/completions %41 ä"""


@settings(deadline=None, max_examples=500)
@given(st.lists(st.sampled_from(PIECES.split()), max_size=8).map("".join))
def test_the_url_a_fix_proposes_is_itself_good(url: str) -> None:
    fault = base_url_fault(url)
    proposed = re.match(r"write (?:it like )?(\S+)", fault[1]) if fault else None

    if proposed and "chat/completions" not in url:  # one that repeats it takes two steps
        step = base_url_fault(proposed.group(1))
        assert step is None, (url, proposed.group(1), step)


@settings(deadline=None)
@given(
    st.sampled_from(["http", "https"]),
    st.none() | st.just(SECRET) | st.just(f"u:{SECRET}"),
    st.sampled_from(["host", "host:80", "[::1]:80"]),
    st.sampled_from(["", "/", "/v1", "/a:b"]),
    st.none() | st.just(f"k={SECRET}"),
)
def test_a_safe_url_is_the_url_without_userinfo_and_query(
    scheme: str, user: str | None, host: str, path: str, query: str | None
) -> None:
    prefix = "" if user is None else f"{user}@"
    suffix = "" if query is None else f"?{query}#{query}"

    assert safe_url(f"{scheme}://{prefix}{host}{path}{suffix}") == f"{scheme}://{host}{path}"


@pytest.mark.parametrize(
    ("url", "shown"),
    [(f"http://{SECRET}@[", "(not a URL)"), (f"http://u:1/{SECRET}@h/v1", "http://u:1/...")],
)
def test_what_cannot_be_told_apart_is_not_shown(url: str, shown: str) -> None:
    assert safe_url(url) == shown


PRIVATE = """localhost LOCALHOST. 127.0.0.1 127.9.9.9 ::1 [::1] 10.1.2.3 172.16.0.1 192.168.0.9
fd00::1 169.254.1.1 box box.local nas.lan a.internal a.home.arpa x.localhost a.test"""


@pytest.mark.parametrize("host", PRIVATE.split())
def test_a_host_on_this_machine_or_network_is_private(host: str) -> None:
    assert is_private_host(host)


@pytest.mark.parametrize(
    "host", ["example.com", "8.8.8.8", "172.32.0.1", "2606:4700::1", "localhost.example.com"]
)
def test_a_host_on_the_internet_is_not_private(host: str) -> None:
    assert not is_private_host(host)
