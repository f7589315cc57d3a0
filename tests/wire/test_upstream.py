"""What upstream/ promises on every LiteLLM: the caller's clients, caches, processes, signatures."""

from __future__ import annotations

import asyncio
import inspect
import os
import pickle
import pydoc
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import litellm
import openai
import pytest

import adapter
from tests.command import PATIENCE, provider
from tests.recorder import Recorder, Reply

MESSAGES = [{"role": "user", "content": "q"}]
KEY = "sk-of-the-provider-p"
OTHER_KEY = "sk-of-the-provider-q"


@pytest.fixture(autouse=True)
def config(write: Callable[..., Path], server: Recorder, other_server: Recorder) -> Path:
    return write(
        provider(server.base_url, api_key=KEY, default_model="m")
        + provider(other_server.base_url, name="q", api_key=OTHER_KEY, default_model="m"),
    )


def clients(base: str) -> Iterator[tuple[str, Any]]:
    yield "completion", openai.OpenAI(base_url=base, api_key=KEY, max_retries=0)
    yield "acompletion", openai.AsyncOpenAI(base_url=base, api_key=KEY, max_retries=0)


def call(name: str, **arguments: Any) -> Any:
    result = getattr(adapter, name)("p", messages=MESSAGES, **arguments)
    return asyncio.run(result) if inspect.iscoroutine(result) else result


# ---- a client of the caller's own


def test_a_client_of_the_callers_follows_no_redirect_to_another_host(
    server: Recorder, other_server: Recorder
) -> None:
    away = {"Location": f"{other_server.base_url}/chat/completions"}
    for name, client in clients(server.base_url):
        server.script = lambda request: Reply(307, {}, away)
        with pytest.raises(Exception, match=r"[Cc]onnection|is not followed"):
            call(name, client=client)
    assert server.requests
    assert other_server.requests == []
    server.script = None
    for name, client in clients(server.base_url):
        assert call(name, client=client).choices[0].message.content


def test_no_error_of_a_client_of_the_callers_shows_its_key(server: Recorder) -> None:
    echo = {"error": {"message": f"bad key {KEY}"}}
    for name, client in clients(server.base_url):
        server.script = lambda request: Reply(401, echo, {"x-echo": KEY})
        with pytest.raises(litellm.AuthenticationError) as caught:
            call(name, client=client)
        shown = "".join(traceback.format_exception(caught.value))
        for error in (caught.value, caught.value.__cause__, caught.value.__context__):
            shown += repr(vars(error)) if error else ""
            for kept in vars(error).values() if error else ():
                shown += repr(getattr(kept, "headers", "")) + repr(getattr(kept, "content", ""))
        assert KEY not in shown


# ---- the response cache


needs_cache = pytest.mark.skipif(
    find_spec("fastapi") is None, reason="LiteLLM's cache imports fastapi, which is not installed"
)


@pytest.fixture
def cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(litellm, "cache", litellm.Cache())
    for name in ("success_callback", "_async_success_callback", "input_callback", "callbacks"):
        monkeypatch.setattr(litellm, name, [*getattr(litellm, name)])


@needs_cache
@pytest.mark.parametrize("name", ["completion", "acompletion", "stream", "embedding"])
def test_no_provider_gets_the_cached_answer_of_another(
    name: str, cache: None, server: Recorder, other_server: Recorder
) -> None:
    def ask(model: str) -> None:
        if name == "embedding":
            adapter.embedding(model, input=["q"], caching=True)
        elif name == "stream":
            list(adapter.completion(model, messages=MESSAGES, stream=True))
        elif name == "acompletion":
            asyncio.run(adapter.acompletion(model, messages=MESSAGES))
        else:
            adapter.completion(model, messages=MESSAGES)

    ask("p")
    ask("q")
    assert (len(server.requests), len(other_server.requests)) == (1, 1)
    ask("p/m")
    ask("q/m")
    assert (len(server.requests), len(other_server.requests)) == (1, 1)


# ---- processes and signatures


POOL = """
import adapter
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
call = {"model": "p", "messages": [{"role": "user", "content": "q"}]}
adapter.completion(**call)
with ProcessPoolExecutor(1, mp_context=get_context(method)) as pool:
    reply = pool.submit(adapter.completion, **call).result(timeout=200)
assert reply.choices[0].message.content == "Hello, world"
"""


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_process_pool_takes_a_drop_in(method: str, server: Recorder) -> None:
    code = f"method = {method!r}\n{POOL}"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=PATIENCE)

    assert [request.key for request in server.requests] == [KEY, KEY]


FORK_IN_IMPORT = """
import os, pathlib, signal, sys, threading, adapter
adapter.completion(model="p", messages=[{"role": "user", "content": "q"}])
pathlib.Path("slow.py").write_text("import time; time.sleep(1)")
sys.path.insert(0, "")
importing = threading.Thread(target=__import__, args=("slow",))
importing.start()
while "slow" not in sys.modules:
    pass
child = os.fork()
if not child:
    signal.alarm(60)
    import slow
    os._exit(0)
sys.exit(os.waitpid(child, 0)[1])
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
def test_a_fork_waits_for_what_another_thread_imports(server: Recorder) -> None:
    """As the threads that write LiteLLM's log do in its first call."""
    subprocess.run([sys.executable, "-c", FORK_IN_IMPORT], check=True, timeout=PATIENCE)


def test_every_drop_in_is_pickled_by_its_name() -> None:
    for name in ("completion", "acompletion", "batch_completion", "aspeech"):
        function = getattr(adapter, name)
        assert pickle.loads(pickle.dumps(function)) is function


def test_a_drop_in_shows_the_parameters_of_litellms() -> None:
    for name in ("completion", "acompletion", "embedding", "transcription"):
        shown = inspect.signature(getattr(adapter, name))
        assert (
            list(shown.parameters)[:2]
            == list(inspect.signature(getattr(litellm, name.removeprefix("a"))).parameters)[:2]
        )
        assert shown.replace(return_annotation=str).return_annotation is str
    assert "temperature" in pydoc.render_doc(adapter.completion)


def test_a_signature_imports_litellm_only_when_it_is_looked_at() -> None:
    code = (
        "import sys, adapter\n"
        "f = adapter.completion; f.__signature__; adapter.acompletion\n"
        "assert 'litellm' not in sys.modules\n"
        "import inspect; assert 'messages' in inspect.signature(f).parameters\n"
        "assert 'litellm' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


# ---- what a caller gives


def test_messages_that_are_none_fail_as_in_litellm(server: Recorder) -> None:
    with pytest.raises(Exception, match="NoneType") as theirs:
        litellm.completion("openai/m", None, api_base=server.base_url, api_key=KEY)
    with pytest.raises(Exception, match="NoneType") as ours:
        adapter.completion("p", messages=None)  # type: ignore[call-overload]  # on purpose

    assert type(ours.value) is type(theirs.value)
    assert server.requests == []


def test_an_organization_that_the_caller_sets_in_code_is_sent(
    server: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    adapter.completion("p", messages=MESSAGES)
    monkeypatch.setattr(litellm, "organization", "org-of-the-caller")
    adapter.completion("p", messages=MESSAGES)

    sent = [request.headers.get("openai-organization") for request in server.requests]
    assert sent == [None, "org-of-the-caller"]


# ---- a LiteLLM newer than the newest tested


NEWER = """
import sys, asyncio, adapter, litellm
from litellm.llms.custom_httpx.http_handler import AsyncHTTPHandler
# what such a release may have lost
litellm.Router = type("Router", (), {})
sys.modules["litellm.router_python_host"] = None
del AsyncHTTPHandler._dispose_wrapped_aiohttp_session
messages = [{"role": "user", "content": "q"}]
assert adapter.completion("p", messages=messages, fallbacks=["q"]).choices
assert asyncio.run(adapter.acompletion("p", messages=messages)).choices
assert list(adapter.completion("p", messages=messages, stream=True))
assert adapter.embedding("p", input=["q"]).data
try:
    adapter.router()
except adapter.AdapterError as error:
    assert litellm_version in str(error) and "install" in str(error), error
else:
    raise AssertionError("router() did not say what is missing")
"""


def test_a_newer_litellm_without_private_names_loses_only_what_needs_them(
    server: Recorder, other_server: Recorder
) -> None:
    from importlib.metadata import version

    code = f"litellm_version = {version('litellm')!r}\n{NEWER}"
    done = subprocess.run(
        [sys.executable, "-W", "error::UserWarning:adapter", "-c", code],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )

    assert done.returncode == 0, done.stderr
    assert "adapter" not in done.stderr
