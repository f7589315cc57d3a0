"""LiteLLM's own functions, helpers and Router after ``adapter.install()``, at the wire."""

from __future__ import annotations

import asyncio
import inspect
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial, wraps
from pathlib import Path
from typing import Any

import litellm
import pytest
from litellm import acompletion as early_acompletion
from litellm import completion as early
from litellm.main import completion as inner

import adapter
from adapter.call.drop_ins import FUNCTIONS
from tests.command import PATIENCE
from tests.recorder import ANSWER, Recorder, Reply, chat_reply
from tests.wire.test_drop_ins import CASES, DECOYS, Case, case_id

Write = Callable[..., Path]
MESSAGES = [{"role": "user", "content": "hi"}]
HEADERS = {"openai-organization", "openai-project", "x-decoy"}


class Holder:
    held = staticmethod(litellm.completion)


def with_default(function: Callable[..., Any] = litellm.completion, **kwargs: Any) -> Any:
    return function(**kwargs)


def looked_up(**kwargs: Any) -> Any:
    return litellm.completion(**kwargs)


def enclosed(function: Callable[..., Any]) -> Callable[..., Any]:
    def call(**kwargs: Any) -> Any:
        return function(**kwargs)

    return call


@wraps(litellm.completion)
def wrapped(*args: Any, **kwargs: Any) -> Any:
    return early(*args, **kwargs)


KEPT = {"completion": litellm.completion}
REFERENCES: dict[str, Callable[..., Any]] = {
    "attribute": looked_up,
    "imported before": early,
    "the inner module's": inner,
    "class attribute": Holder.held,
    "instance attribute": Holder().held,
    "default argument": with_default,
    "partial": partial(litellm.completion, temperature=0.5),
    "closure": enclosed(litellm.completion),
    "dictionary": KEPT["completion"],
    "wrapper": wrapped,
    "pickled": pickle.loads(pickle.dumps(litellm.completion)),
    "thread": lambda **kwargs: in_thread(early, **kwargs),
}


def in_thread(function: Callable[..., Any], **kwargs: Any) -> Any:
    results = []
    thread = threading.Thread(target=lambda: results.append(function(**kwargs)))
    thread.start()
    thread.join()
    return results[0]


@pytest.fixture
def provider(write: Write, server: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two providers, one of which has the name of LiteLLM's own, among decoys."""
    write(
        f'[[providers]]\nname = "p-1"\nbase_url = "{server.base_url}"\ndefault_model = "m"\n'
        f'[[providers]]\nname = "openai"\nbase_url = "{server.origin}/openai/v1"\n'
    )
    for name, value in DECOYS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("GPTME_OPENAI_API_KEY", "openai-key")
    monkeypatch.setenv("P_1_API_KEY", "own-key")


@pytest.fixture
def installed() -> Iterator[None]:
    with adapter.install():
        yield


@pytest.mark.usefixtures("provider", "installed")
@pytest.mark.parametrize("kind", REFERENCES)
def test_every_reference_to_a_function_is_served(kind: str, server: Recorder) -> None:
    reply = REFERENCES[kind](model="p-1/a/b", messages=MESSAGES)

    assert reply.choices[0].message.content == ANSWER
    assert server.only.path == "/v1/chat/completions"
    assert server.only.body["model"] == "a/b"
    assert server.only.key == "own-key"
    assert HEADERS.isdisjoint(server.only.headers)


@pytest.mark.usefixtures("provider", "installed")
@pytest.mark.parametrize("name", ["p-1", "openai"])
@pytest.mark.parametrize("case", CASES, ids=case_id)
def test_every_function_of_litellm_calls_the_provider(
    case: Case, name: str, server: Recorder
) -> None:
    function = getattr(litellm, case.function)
    arguments = {"model": f"{name}/m", **case.arguments}
    if case.stream:
        arguments["stream"] = True

    async def run() -> Any:
        result = await function(**arguments)
        return [c async for c in result] if case.stream else result

    if FUNCTIONS[case.function].is_async:
        asyncio.run(run())
    else:
        result = function(**arguments)
        assert not case.stream or list(result)
    folder = "" if name == "p-1" else "/openai"
    assert server.only.path == folder + case.path
    assert server.only.key == ("own-key" if name == "p-1" else "openai-key")
    assert HEADERS.isdisjoint(server.only.headers)
    assert b"decoy" not in server.only.raw


def seen(function: Any) -> tuple[Any, ...]:
    """Return what a program, a debugger or a page of documentation sees of a function."""
    attributes = ("__doc__", "__qualname__", "__module__", "__defaults__", "__kwdefaults__")
    code = function.__code__
    return (
        *(getattr(function, name) for name in (*attributes, "__annotations__")),
        getattr(function, "__wrapped__", None),
        inspect.getsource(function),
        inspect.getfullargspec(function),
        (code.co_name, code.co_filename, code.co_firstlineno),
        getattr(code, "co_qualname", None),  # from Python 3.11
    )


@pytest.mark.usefixtures("provider")
def test_functions_keep_identity_signature_and_kind_and_get_their_code_back() -> None:
    functions = [getattr(litellm, name) for name in FUNCTIONS]
    router = inspect.signature(litellm.Router)
    before = [(f.__code__, inspect.signature(f), f.__name__) for f in functions]
    looked_at = [*functions, litellm.Router.__init__, litellm.supports_vision]
    shown = [seen(function) for function in looked_at]
    own = [dict(vars(function)) for function in looked_at]
    with adapter.install():
        assert [seen(function) for function in looked_at] == shown
        assert adapter.installed()
        assert inspect.signature(litellm.Router) == router
        for function, (code, signature, name) in zip(functions, before, strict=True):
            assert getattr(litellm, name) is function
            assert function.__code__ is not code
            assert inspect.signature(function) == signature
            assert pickle.loads(pickle.dumps(function)) is function
            assert inspect.iscoroutinefunction(function) == name.startswith("a")
    assert not adapter.installed()
    after = [(f.__code__, inspect.signature(f), f.__name__) for f in functions]
    assert after == before
    assert inspect.signature(litellm.Router) == router
    assert not any("__signature__" in vars(f) for f in functions)
    assert [seen(function) for function in looked_at] == shown
    assert [dict(vars(function)) for function in looked_at] == own


@pytest.mark.usefixtures("provider")
def test_installations_nest_and_end_in_any_order_and_twice(server: Recorder) -> None:
    code = early.__code__
    first, second = adapter.install(), adapter.install()
    first.undo()
    first.undo()
    assert adapter.installed()
    early(model="p-1", messages=MESSAGES)
    assert server.only.body["model"] == "m"
    with second:
        pass
    assert not adapter.installed()
    assert early.__code__ is code
    second.undo()
    with pytest.raises(litellm.BadRequestError):
        early(model="p-1/m", messages=MESSAGES)


RELOAD = """
import importlib, adapter
from litellm import completion
from adapter.programs import install as module
from adapter.upstream import exchange

call = {"model": "p-1", "messages": [{"role": "user", "content": "q"}]}
code = completion.__code__
with adapter.install():
    importlib.reload(exchange)
    importlib.reload(module)
    completion(**call)
    assert module.installed()
    with module.install():
        completion(**call)
assert completion.__code__ is code
"""


def test_installing_again_and_again_keeps_nothing() -> None:
    from adapter.upstream import exchange

    with adapter.install():
        first = len(exchange.served)
    with adapter.install():
        assert len(exchange.served) == first


@pytest.mark.usefixtures("provider")
def test_a_reload_keeps_the_installation(server: Recorder) -> None:
    """In a process of its own: the other tests know the classes of the first module."""
    subprocess.run([sys.executable, "-c", RELOAD], check=True, timeout=PATIENCE)
    assert len(server.requests) == 2


@pytest.mark.usefixtures("provider")
def test_threads_may_install_and_call_at_once(server: Recorder) -> None:
    code = early.__code__
    errors: list[BaseException] = []

    def work() -> None:
        try:
            for _ in range(5):
                with adapter.install():
                    early(model="p-1", messages=MESSAGES)
        except BaseException as error:  # noqa: BLE001 - told below
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert len(server.requests) == 20
    assert early.__code__ is code


@pytest.mark.usefixtures("provider", "installed")
def test_other_models_and_a_named_class_stay_litellms(
    server: Recorder, other_server: Recorder
) -> None:
    other = {"api_base": other_server.base_url, "api_key": "k", "messages": MESSAGES}
    early(model="hosted_vllm/p-1/m", **other)
    assert other_server.last.body["model"] == "p-1/m"
    early(model="p-1", custom_llm_provider="openai", **other)
    assert other_server.last.body["model"] == "p-1"
    assert server.requests == []
    early(model="p-1/m", **other)
    assert other_server.last.key == "k"
    early(model="p-1/m", api_base=other_server.base_url, messages=MESSAGES)
    assert other_server.last.key == "default-key"


@pytest.mark.usefixtures("provider", "installed")
def test_a_fallback_and_notes_are_those_of_the_drop_in(server: Recorder) -> None:
    def script(request: Any) -> Reply | None:
        if request.path.startswith("/v1/"):
            return Reply(401, {"error": {"message": "no"}})
        return None

    server.script = script
    reply = early(model="p-1", messages=MESSAGES, fallbacks=["openai/z"])
    assert reply.choices[0].message.content == ANSWER
    assert [r.key for r in server.requests] == ["own-key", "openai-key"]
    with pytest.raises(litellm.AuthenticationError) as caught:
        early(model="p-1", messages=MESSAGES)
    assert any("p-1" in note for note in caught.value.__notes__)


@pytest.mark.usefixtures("provider", "installed")
def test_a_call_made_by_a_callers_own_code_within_a_call_is_his(server: Recorder) -> None:
    class Handler(litellm.CustomLLM):  # type: ignore[misc]  # LiteLLM is not type-checked
        def completion(self, *args: Any, **kwargs: Any) -> Any:
            return early(model="openai/inner", messages=MESSAGES)

    litellm.custom_provider_map = [{"provider": "mine", "custom_handler": Handler()}]
    try:
        early(model="mine/x", messages=MESSAGES)
    finally:
        litellm.custom_provider_map = []
    assert server.only.body["model"] == "inner"
    assert server.only.key == "openai-key"


@pytest.mark.usefixtures("provider", "installed")
@pytest.mark.parametrize("name", ["p-1", "openai"])
def test_a_router_takes_our_names(name: str, server: Recorder) -> None:
    entry = {"model_name": "any", "litellm_params": {"model": f"{name}/x"}}
    wild = {"model_name": "w/*", "litellm_params": {"model": f"{name}/*"}}
    router = litellm.Router(model_list=[entry, wild], num_retries=0)
    router.completion(model="any", messages=MESSAGES)
    router.completion(model="w/gpt-5-codex", messages=MESSAGES)
    asyncio.run(router.acompletion(model="any", messages=MESSAGES))
    router.embedding(model="any", input=["x"])
    models = [r.body["model"] for r in server.requests]
    assert models == ["x", "gpt-5-codex", "x", "x"]
    folder = "" if name == "p-1" else "/openai"
    chat = f"{folder}/v1/chat/completions"
    assert [r.path for r in server.requests] == [chat, chat, chat, f"{folder}/v1/embeddings"]
    assert {r.key for r in server.requests} == {"own-key" if name == "p-1" else "openai-key"}
    assert all(HEADERS.isdisjoint(r.headers) for r in server.requests)
    assert entry["litellm_params"] == {"model": f"{name}/x"}


@pytest.mark.usefixtures("provider", "installed")
def test_our_own_router_works_as_without_it(server: Recorder) -> None:
    adapter.router().completion(model="openai/y", messages=MESSAGES)
    assert server.only.body["model"] == "y"
    assert server.only.path == "/openai/v1/chat/completions"
    assert server.only.key == "openai-key"


@pytest.mark.usefixtures("provider", "installed")
def test_what_is_translated_is_not_translated_again(config_dir: Path, server: Recorder) -> None:
    extras = "[plugin.litellm.providers.openai]\ntemperature = 0.25\n"
    (config_dir / "config.local.toml").write_text(extras)
    chat: dict[str, Any] = {"messages": MESSAGES}
    asked = ("p-1/x", "openai/x")
    for model in asked:
        adapter.completion(model=model, **chat)
        asyncio.run(adapter.acompletion(model=model, **chat))
        litellm.batch_completion(model=model, messages=[MESSAGES])
        adapter.router().completion(model=model, **chat)
        litellm.text_completion(model=model, prompt="hi")
        asyncio.run(early_acompletion(model=model, **chat))
        heats = [r.body.get("temperature") for r in server.requests]
        assert heats == [0.25 if model == "openai/x" else None] * 6
        server.requests.clear()


@pytest.mark.usefixtures("installed")
def test_helpers_know_what_the_configuration_says_of_a_model(
    write: Write, server: Recorder
) -> None:
    from litellm.utils import supports_function_calling

    write(
        f'[[providers]]\nname = "groq"\nbase_url = "{server.base_url}"\ndefault_model = "m"\n'
        '[plugin.litellm.models."groq/m"]\nsupports_function_calling = true\n'
        "supports_response_schema = true\nmax_output_tokens = 77\nmax_input_tokens = 1000\n"
        "input_cost_per_token = 0.5\noutput_cost_per_token = 0.25\n"
    )
    for model in ("groq/m", "groq"):
        assert supports_function_calling(model)
        assert litellm.supports_response_schema(model=model)
        assert not litellm.supports_vision(model)
        assert litellm.get_max_tokens(model) == 77
        assert litellm.get_model_info(model)["max_input_tokens"] == 1000
    assert litellm.supports_function_calling("m", custom_llm_provider="groq")
    assert litellm.utils.supports_tool_choice("groq/m") is False
    assert "tools" in litellm.get_supported_openai_params("groq/m", "groq")
    assert litellm.token_counter(model="groq/m", text="one two") == 2
    reply = litellm.ModelResponse(**chat_reply())
    assert litellm.completion_cost(reply, model="groq/m") == pytest.approx(0.75)


def test_helpers_know_a_known_id_without_its_price_and_forget_all(
    write: Write, server: Recorder
) -> None:
    write(f'[[providers]]\nname = "p-1"\nbase_url = "{server.base_url}"\n')
    names = set(litellm.model_cost)
    with adapter.install():
        assert litellm.supports_vision("p-1/gpt-4o")
        assert not litellm.get_model_info("p-1/gpt-4o")["input_cost_per_token"]
        assert litellm.supports_vision("gpt-4o")
        assert not litellm.supports_function_calling("p-1/unknown")
    assert set(litellm.model_cost) == names
    assert not litellm.supports_vision("p-1/gpt-4o")


@pytest.mark.usefixtures("provider", "installed")
def test_asynchronous_references_are_served_in_tasks_and_gathers(server: Recorder) -> None:
    async def run() -> None:
        call = partial(early_acompletion, messages=MESSAGES)
        await asyncio.gather(*(asyncio.create_task(call(model="openai/z")) for _ in range(3)))
        await asyncio.to_thread(early, model="openai/z", messages=MESSAGES)

    asyncio.run(run())
    assert [r.body["model"] for r in server.requests] == ["z"] * 4
    assert {r.key for r in server.requests} == {"openai-key"}
