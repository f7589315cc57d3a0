"""LiteLLM's Router in a process of its own: what it sends for an entry of a ``config.yaml``.

It reaches nothing: the one request that it would send is kept, and answered there.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

from tests.command import ROOT
from tests.litellm_prefixes import Probe, intercept

__all__ = ["Sent", "router_oracle"]

Ask = Callable[[Any, Mapping[str, str], list[Any]], "Sent | None"]


class Sent(NamedTuple):
    """The one request: its URL, the key after ``Bearer``, and the model in its body."""

    url: str
    key: str | None
    model: str | None


@contextmanager
def router_oracle() -> Iterator[Ask]:
    """Yield a function that returns what the Router sends for an entry, ``None`` for nothing.

    Its arguments are the entry, the environment, and the file's ``credential_list``. An entry
    ``NAME/*`` is asked for ``NAME/any-model``.
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

        def ask(entry: Any, environ: Mapping[str, str], credentials: list[Any]) -> Sent | None:
            assert child.stdin is not None
            assert child.stdout is not None
            print(json.dumps([entry, dict(environ), credentials]), file=child.stdin, flush=True)
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
        entry, environ, credentials = json.loads(line)
        os.environ.update(environ)
        sent = _sent(probe, entry, credentials)
        for name in environ:
            os.environ.pop(name, None)
        sys.stdout.write(f"sent: {json.dumps(sent)}\n")
        sys.stdout.flush()


def _sent(probe: Probe, entry: Any, credentials: list[Any]) -> tuple[str, str | None, Any] | None:
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
        for c in credentials
    ]
    probe.sent.clear()
    try:
        router = litellm.Router(model_list=[entry], num_retries=0)
        name = str(entry["model_name"]).replace("*", "any-model")
        router.completion(model=name, messages=[{"role": "user", "content": "hi"}], timeout=5)
    except Exception:  # noqa: BLE001 - what was sent is the result
        pass
    if len(probe.sent) != 1:
        return None
    url, key, model = probe.sent[0]
    return url, key.removeprefix("Bearer ") if key else None, model
