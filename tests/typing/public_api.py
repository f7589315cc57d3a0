"""The public API as a user's type checker sees it: checked by mypy and pyright, never run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from litellm import (
    CustomStreamWrapper,
    EmbeddingResponse,
    ImageResponse,
    ModelResponse,
    TextCompletionResponse,
    TranscriptionResponse,
)
from litellm.router import Router
from typing_extensions import assert_type

import adapter
from adapter import (
    AdapterError,
    BatchSummary,
    Config,
    ConfigError,
    MissingKeyError,
    Problem,
    Provider,
    Resolution,
    ResolvedKey,
)

MESSAGES = [{"role": "user", "content": "Say hello."}]


def check_completions(stream: bool) -> None:
    """Tell a stream from an answer by ``stream``."""
    assert_type(adapter.completion("groq", MESSAGES), ModelResponse)
    assert_type(adapter.completion(model="groq", messages=MESSAGES, timeout=3), ModelResponse)
    assert_type(adapter.completion("groq", MESSAGES, stream=True), CustomStreamWrapper)
    either = adapter.completion("groq", MESSAGES, stream=stream, fallbacks=["vllm-local"])
    assert_type(either, ModelResponse | CustomStreamWrapper)
    assert_type(adapter.text_completion("Once", "groq"), TextCompletionResponse)
    assert_type(adapter.batch_completion("groq", [MESSAGES]), list[ModelResponse])


async def check_async_completions() -> None:
    """Await what the async twins return."""
    assert_type(await adapter.acompletion("groq", MESSAGES), ModelResponse)
    assert_type(await adapter.acompletion("groq", MESSAGES, stream=True), CustomStreamWrapper)
    assert_type(await adapter.atext_completion("Once", "groq"), TextCompletionResponse)
    assert_type(await adapter.aembedding("groq", ["a"]), EmbeddingResponse)


def check_other_functions(file: bytes) -> None:
    """Know the results that LiteLLM has public names for."""
    assert_type(adapter.embedding(model="groq", input=["a"]), EmbeddingResponse)
    assert_type(adapter.image_generation("A cat", "groq"), ImageResponse)
    assert_type(adapter.transcription("groq", file), TranscriptionResponse)
    assert_type(adapter.responses("Hello", "groq"), Any)


def check_configuration() -> None:
    """Read providers and keys."""
    config = adapter.load_config()
    assert_type(config, Config)
    provider = config.provider("groq")
    assert_type(provider, Provider)
    assert_type(provider.resolve_key(), ResolvedKey)
    assert_type(adapter.resolve("groq"), Resolution)
    settings: Mapping[str, Any] = config.settings
    assert_type(adapter.translate("groq"), dict[str, Any])
    assert_type(adapter.model_list(providers=["groq"]), list[dict[str, Any]])
    assert_type(adapter.router(providers=["groq"], **settings), Router)


async def check_batches() -> None:
    """Run a file of requests, with options that exist."""
    done = adapter.batch("in.jsonl", "out.jsonl", model="groq", concurrency=8, in_order=True)
    assert_type(done, BatchSummary)
    assert_type(done.cost, float | None)
    assert_type(await adapter.abatch("in.jsonl", "out.jsonl", processes=2, rpm=60), BatchSummary)
    adapter.batch("in.jsonl", "out.jsonl", concurency=8)  # type: ignore[call-arg]  # misspelt


def check_errors() -> str:
    """Catch an error and say what is wrong."""
    try:
        adapter.load_config()
    except ConfigError as error:
        assert_type(error.problems, tuple[Problem, ...])
        return error.problems[0].fix
    except (MissingKeyError, AdapterError) as error:
        return str(error)
    return adapter.__version__
