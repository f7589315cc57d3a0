"""Measure what the installed LiteLLM sends under each of its prefixes.

``make prefixes`` lays the measurement on ``adapter/upstream/prefixes.json``, and
``tests/wire/test_litellm_prefixes.py`` compares the two. LiteLLM runs in a process of its own that
reaches nothing: each request that it would send is kept, and answered there. Written by hand are
only the parts of the file that :data:`BY_HAND` names, and why other prefixes are refused.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import unquote

__all__ = ["OWN_BASE", "PREFIXES_FILE", "Probe", "intercept", "laid_on", "measured", "newest"]

ROOT = Path(__file__).parents[1]
PREFIXES_FILE = ROOT / "adapter" / "upstream" / "prefixes.json"

BY_HAND = ("moved", "ids", "before_id")
"""Fields of a row that are kept: bases of older releases, and what holds for some model ids."""

ALIKE = {"aiohttp_openai": "openai"}
"""Measured as another prefix: its synchronous call, which LiteLLM's proxy never makes, is no JSON.
The wire tests see its asynchronous one."""

OPENAI = ("aiohttp_openai", "custom_openai", "openai", "text-completion-openai")
"""The others fall back to OpenAI's base and key where theirs are missing, which nobody means: a
key for OpenAI must not go to another host."""

MODEL = "org/a-model"
MODELS = {"ai21": "jamba-mini-1.7", "fireworks_ai": "accounts/org/models/a-model"}
"""LiteLLM sends ids that it does not know to OpenAI, or completes short ones."""

OWN_BASE = {"baseten": "abcd1234", "huggingface": "together/org/a-model"}
"""Ids whose base is not the row's, nor any that an entry could name."""

LISTS = ("responses", "router_settings", "routing_strategies")
"""Names of prefixes, and what LiteLLM's Router takes."""

NOWHERE = "http://127.0.0.1:9/base"
PATHS = {"/chat/completions": {}, "/completions": {"text": True}}


def measured() -> dict[str, Any]:
    """Return the installed LiteLLM's ``version``, its ``logins``, ``endpoints`` and ``rows``.

    ``router_settings`` and ``routing_strategies`` are what its proxy passes on to its Router,
    ``responses`` the prefixes under which it asks ``/responses`` for an id ``responses/X``.
    ``endpoints`` are bases by which it knows a model without a prefix, ``ids`` the URLs that the
    ids of :data:`OWN_BASE` go to. A row is ``None`` where a prefix sends no plain completion:
    another path, header or model id.
    """
    kept = {k: v for k, v in os.environ.items() if k in ("PATH", "HOME", "SYSTEMROOT")}
    fixed = {
        "AWS_EC2_METADATA_DISABLED": "true",  # botocore asks a cloud machine's metadata server
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "PYTHONPATH": os.pathsep.join([str(ROOT), *(p for p in sys.path if p)]),
    }
    done = subprocess.run(
        [sys.executable, "-c", "from tests.litellm_prefixes import child; child()"],
        capture_output=True,
        encoding="utf-8",
        errors="replace",  # what LiteLLM prints quotes bytes
        timeout=300,
        check=False,
        env=kept | fixed,
    )
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def laid_on(data: Mapping[str, Any], result: Mapping[str, Any]) -> dict[str, Any]:
    """Return the content of ``prefixes.json`` with a measurement laid on it.

    What was measured on a newer LiteLLM before stays; a prefix that is refused by hand, too.
    """
    versions = sorted({*data["litellm"], result["version"]}, key=_numbers)
    is_newest = versions[-1] == result["version"]
    rows, refused = dict(data["openai_compatible"]), dict(data["refused"])
    for prefix, row in result["rows"].items():
        if row is None or prefix in refused:
            if prefix not in rows:
                refused.setdefault(prefix, {"why": "has no OpenAI-compatible chat in LiteLLM"})
            continue
        old = rows.get(prefix, {})
        base = row.get("base_url") if is_newest else old.get("base_url", row.get("base_url"))
        bases = {old.get("base_url"), row.get("base_url"), *old.get("moved", ())}
        moved = sorted(bases - {base, None})
        rows[prefix] = {
            **(row if is_newest or not old else old),
            **{key: old[key] for key in BY_HAND if key in old},
            **({"base_url": base} if base else {}),
            **({"moved": moved} if moved else {}),
        }
    return {
        "litellm": versions,
        "logins": sorted({*data["logins"], *result["logins"]}),
        "endpoints": {**data["endpoints"], **result["endpoints"]},
        **{key: sorted({*data[key], *result[key]}) for key in LISTS},
        "openai_compatible": dict(sorted(rows.items())),
        "refused": dict(sorted(refused.items())),
    }


def newest(*versions: str) -> str:
    """Return the highest of several release numbers."""
    return max(versions, key=_numbers)


def _numbers(version: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", version)]


def text(data: Mapping[str, Any]) -> str:
    """Return ``data`` as JSON with a line for each prefix."""
    parts = []
    for key, value in data.items():
        if isinstance(value, Mapping):
            lines = [f"  {json.dumps(k)}: {json.dumps(v)}" for k, v in value.items()]
            parts.append(f"{json.dumps(key)}: {{\n" + ",\n".join(lines) + "\n }")
        else:
            parts.append(f"{json.dumps(key)}: {json.dumps(value)}")
    return "{\n " + ",\n ".join(parts) + "\n}\n"


def child() -> None:
    """Measure, and write the result as the last line of stdout."""
    probe = Probe()
    intercept(probe)
    json.dump(probe.result(), sys.stdout)
    sys.stdout.flush()
    os._exit(0)  # without waiting for LiteLLM's threads


def intercept(probe: Probe) -> None:
    """Give the requests of this process to ``probe``, and refuse any other connection."""
    import httpx

    for library in (httpx, _imported("httpx2")):
        if library is not None:
            library.HTTPTransport.handle_request = probe.transport(library)
    _refuse_network()


def _imported(name: str) -> Any:
    """Import a module, ``None`` where it is not installed: openai 3 sends by httpx2."""
    try:
        return __import__(name)
    except ImportError:
        return None


def _refuse_network() -> None:
    import socket

    def refuse(*args: Any, **options: Any) -> Any:
        raise OSError("no network here")

    socket.getaddrinfo = refuse
    socket.socket.connect = refuse  # type: ignore[method-assign]  # for this process alone


class Probe:
    """Calls of LiteLLM, the one request that each would send, and the variables it asked for."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, str | None, Any]] = []
        """URL, ``Authorization`` and model of each request since the last call."""
        self._names: set[str] = set()

    def transport(self, library: Any) -> Any:
        """Return what stands in for ``HTTPTransport.handle_request`` of an HTTP library."""
        from tests.recorder import chat_reply

        def handle(transport: Any, request: Any) -> Any:
            if request.method == "POST":
                body = request.read()
                chat = json.loads(body) if body.startswith(b"{") else {}
                key = request.headers.get("authorization")
                self.sent.append((str(request.url), key, chat.get("model")))
            # LiteLLM's groq handler fails on an answer without a service tier
            return library.Response(200, json={**chat_reply(), "service_tier": "default"})

        return handle

    def result(self) -> dict[str, Any]:
        """Return what :func:`measured` does."""
        from importlib.metadata import version

        import litellm
        from litellm.constants import PROVIDERS_THAT_AUTHENTICATE_ON_PROVIDER_INFO as LOGINS
        from litellm.llms.openai_like.json_loader import JSONProviderRegistry as Registry

        look_up = os._Environ.__getitem__

        def record(environ: Any, name: str) -> Any:
            self._names.add(name)
            return look_up(environ, name)

        os._Environ.__getitem__ = record  # type: ignore[method-assign,assignment]  # here alone
        listed = {str(getattr(p, "value", p)) for p in litellm.provider_list}
        listed |= {*Registry.list_providers(), *litellm.openai_compatible_providers}
        rows = {p: self._row(ALIKE.get(p, p), p) for p in sorted(listed - LOGINS)}
        ids = {p: self._urls(p, model) for p, model in OWN_BASE.items()}
        return {
            "version": version("litellm"),
            "logins": sorted(LOGINS),
            "endpoints": self._endpoints(),
            **self._router(),
            "responses": [p for p, row in rows.items() if row and self._asks_responses(p)],
            "rows": rows,
            "ids": ids,
        }

    @staticmethod
    def _endpoints() -> dict[str, str]:
        import litellm

        endpoints = {}
        for listed in litellm.openai_compatible_endpoints:
            url = listed.rstrip("/") if "://" in listed else f"https://{listed}"
            with suppress(Exception):  # LiteLLM has an endpoint, but no provider
                prefix = litellm.get_llm_provider("some-model", api_base=url)[1]
                endpoints.update({url: prefix} if prefix else {})
        return endpoints

    @staticmethod
    def _router() -> dict[str, list[str]]:
        import litellm
        from litellm.constants import ROUTER_SETTINGS_MANAGED_OUTSIDE_CONFIG as OTHERS
        from litellm.types.router import RoutingStrategy

        strategies = []
        for name in ("lar1", "simple-shuffle", *(s.value for s in RoutingStrategy)):
            with suppress(ValueError):
                litellm.Router(model_list=[], routing_strategy=name)
                strategies.append(name)
        names = sorted(set(litellm.Router.get_valid_args()) - OTHERS)
        return {"router_settings": names, "routing_strategies": sorted(strategies)}

    def _urls(self, prefix: str, model: str) -> list[str]:
        self._call(prefix, model=f"{prefix}/{model}", api_key="secret")
        return [url for url, *_ in self.sent]

    def _asks_responses(self, prefix: str) -> bool:
        self._call(
            prefix, model=f"{prefix}/responses/x", api_base=f"{NOWHERE}/v1", api_key="secret"
        )
        return any(url.endswith("/responses") for url, *_ in self.sent)

    def _call(self, prefix: str, environ: Mapping[str, str] | None = None, **options: Any) -> None:
        import litellm

        self.sent.clear()
        self._names.clear()
        os.environ.update(environ or {})
        with suppress(Exception):  # what was sent is the result
            litellm.completion(
                messages=[{"role": "user", "content": "hi"}],
                timeout=5,
                **{"model": f"{prefix}/{MODELS.get(prefix, MODEL)}", **options},
            )
        for name in environ or {}:
            os.environ.pop(name, None)

    def _base(self, prefix: str) -> tuple[str, str] | None:
        """Return base and path of the one request, where it was a plain completion."""
        if len(self.sent) == 1:
            url, key, model = self.sent[0]
            path = next((path for path in PATHS if url.endswith(path)), None)
            if path and key == "Bearer secret" and model == MODELS.get(prefix, MODEL):
                return url.removesuffix(path), path
        return None

    def _row(self, prefix: str, name: str) -> dict[str, Any] | None:
        self._call(prefix, api_base=f"{NOWHERE}/v1", api_key="secret")
        versioned = self._base(prefix)
        self._call(prefix, api_base=NOWHERE, api_key="secret")
        plain = self._base(prefix)
        if versioned is None or plain is None:
            return None
        row: dict[str, Any] = {**PATHS[plain[1]]}
        if suffix := plain[0].removeprefix(NOWHERE):
            row["suffix"] = suffix
        if versioned[0] != f"{NOWHERE}/v1":
            row["suffix_always"] = True
        self._call(prefix, api_key="secret")
        own = self._base(prefix)
        asked = {
            n for n in list(self._names) if re.fullmatch("[A-Z0-9_]*(BASE|URL|ENDPOINT)[A-Z_]*", n)
        }
        account = next((n for n in list(self._names) if n.endswith("_ACCOUNT_ID")), None)
        if own is None and account:
            self._call(prefix, {account: f"{{{account}}}"}, api_key="secret")
            own = self._base(prefix)
        if own and (name in OPENAI or "://api.openai.com" not in own[0]):
            row = {"base_url": unquote(own[0]), **row}
        if bases := self._in_order(prefix, name, asked, {"api_key": "secret"}):
            row["bases"] = bases
        options: dict[str, Any] = (
            {} if "{" not in row.get("base_url", "{") else {"api_base": f"{NOWHERE}/v1"}
        )
        self._call(prefix, **options)
        if self.sent and self.sent[0][1] and "://api.openai.com" not in self.sent[0][0]:
            row["key_optional"] = True  # a stand-in was sent
        asked = {
            n for n in list(self._names) if re.fullmatch("[A-Z0-9_]*(KEY|TOKEN)(_[A-Z_]+)?", n)
        }
        if keys := self._in_order(prefix, name, asked, options):
            row["keys"] = keys
        return row

    def _in_order(
        self, prefix: str, name: str, asked: set[str], options: Mapping[str, Any]
    ) -> list[str]:
        """Return the variables whose values are sent, in the order in which LiteLLM reads them."""
        left = {n for n in asked if name in OPENAI or not n.startswith("OPENAI_")}
        left = {n for n in left if self._sent_of(prefix, {n}, options) == n}
        found: list[str] = []
        while left and (first := self._sent_of(prefix, left, options)) in left:
            found.append(str(first))
            left.discard(str(first))
        return found

    def _sent_of(self, prefix: str, names: set[str], options: Mapping[str, Any]) -> str | None:
        """Return the variable whose value is sent, as base or key, when ``names`` are set."""
        self._call(prefix, {name: f"{NOWHERE}/{name}/v1" for name in names}, **options)
        if len(self.sent) != 1:
            return None
        url, key, _ = self.sent[0]
        found = re.search(f"{NOWHERE}/(\\w+)/v1", url if "api_key" in options else key or "")
        return found and found[1]


if __name__ == "__main__":
    result = laid_on(json.loads(PREFIXES_FILE.read_text(encoding="utf-8")), measured())
    PREFIXES_FILE.write_text(text(result), encoding="utf-8")
