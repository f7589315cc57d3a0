"""LiteLLM's Router in a process of its own: what it sends for an entry of a ``config.yaml``.

It reaches nothing: the one request that it would send is kept, and answered there.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple, Protocol

from tests.command import ROOT
from tests.litellm_prefixes import Probe, intercept

__all__ = ["Sent", "router_oracle"]


class Ask(Protocol):
    """Asks the Router of a ``config.yaml``."""

    def __call__(
        self, config: Mapping[str, Any], name: str, environ: Mapping[str, str]
    ) -> Sent | None:
        """Return what it sends when ``name`` is asked for under ``environ``, else ``None``."""


class Sent(NamedTuple):
    """The one request: its URL, the key after ``Bearer``, and the model in its body."""

    url: str
    key: str | None
    model: str | None


@contextmanager
def router_oracle() -> Iterator[Ask]:
    """Yield a function that returns what the Router of a ``config.yaml`` sends for a name.

    Of the file its ``model_list``, ``credential_list`` and ``model_group_alias`` count.
    """
    kept = {k: v for k, v in os.environ.items() if k in ("PATH", "HOME", "SYSTEMROOT")}
    fixed = {
        "AWS_EC2_METADATA_DISABLED": "true",
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "PYTHONPATH": os.pathsep.join([str(ROOT), *(p for p in sys.path if p)]),
    }
    with subprocess.Popen(
        [sys.executable, "-c", "from tests.router_oracle import serve; serve()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=kept | fixed,
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None

        def ask(config: Mapping[str, Any], name: str, environ: Mapping[str, str]) -> Sent | None:
            assert child.stdin is not None
            assert child.stdout is not None
            print(json.dumps([config, name, dict(environ)]), file=child.stdin, flush=True)
            for line in child.stdout:
                if line.startswith("sent: "):
                    sent = json.loads(line.removeprefix("sent: "))
                    return Sent(*sent) if sent else None
            raise AssertionError("LiteLLM's process has ended")

        try:
            yield ask
        finally:
            child.kill()


def serve() -> None:
    """Answer the lines of stdin: the body of that process."""
    probe = Probe()
    intercept(probe)
    for line in sys.stdin:
        config, name, environ = json.loads(line)
        os.environ.update(environ)
        sent = _sent(probe, config, name)
        for variable in environ:
            os.environ.pop(variable, None)
        sys.stdout.write(f"sent: {json.dumps(sent)}\n")
        sys.stdout.flush()


def _sent(probe: Probe, config: Mapping[str, Any], name: str) -> tuple[str, str | None, Any] | None:
    import litellm
    from litellm.types.utils import CredentialItem

    litellm.credential_list = [
        CredentialItem(
            credential_name=c["credential_name"],
            credential_info={},
            credential_values={
                # the proxy resolves references when it loads the list
                k: litellm.get_secret(v) if str(v).startswith("os.environ/") else v
                for k, v in c["credential_values"].items()
            },
        )
        for c in config.get("credential_list") or ()
    ]
    probe.sent.clear()
    aliases = config.get("router_settings", {}).get("model_group_alias") or {}
    try:
        router = litellm.Router(
            model_list=config["model_list"],
            model_group_alias=aliases,
            num_retries=0,
            ignore_invalid_deployments=True,  # as the proxy
        )
        router.completion(model=name, messages=[{"role": "user", "content": "hi"}], timeout=5)
    except Exception:  # noqa: BLE001 - what was sent is the result
        pass
    # LiteLLM asks an Ollama about its models from another thread
    sent = [request for request in list(probe.sent) if request[2] is not None]
    if len(sent) != 1:
        return None
    url, key, model = sent[0]
    return url, key.removeprefix("Bearer ") if key else None, model
