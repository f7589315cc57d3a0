"""The drop-in functions for type checkers: LiteLLM's parameters, and what a call of them returns.

LiteLLM's own functions say ``(*args: object, **kwargs: object)`` to a type checker, and a union of
every result, a coroutine among them.
"""

from typing import Any, Literal, overload

from litellm import (
    CustomStreamWrapper,
    EmbeddingResponse,
    ImageResponse,
    ModelResponse,
    TextCompletionResponse,
    TranscriptionResponse,
)

_Messages = list[Any]
"""Dictionaries with ``role`` and ``content``, as OpenAI's API has them."""

@overload
def completion(
    model: str = ..., messages: _Messages = ..., *, stream: Literal[True], **params: Any
) -> CustomStreamWrapper: ...
@overload
def completion(
    model: str = ...,
    messages: _Messages = ...,
    *,
    stream: Literal[False] | None = None,
    **params: Any,
) -> ModelResponse: ...
@overload
def completion(
    model: str = ..., messages: _Messages = ..., *, stream: bool | None, **params: Any
) -> ModelResponse | CustomStreamWrapper: ...
@overload
async def acompletion(
    model: str = ..., messages: _Messages = ..., *, stream: Literal[True], **params: Any
) -> CustomStreamWrapper: ...
@overload
async def acompletion(
    model: str = ...,
    messages: _Messages = ...,
    *,
    stream: Literal[False] | None = None,
    **params: Any,
) -> ModelResponse: ...
@overload
async def acompletion(
    model: str = ..., messages: _Messages = ..., *, stream: bool | None, **params: Any
) -> ModelResponse | CustomStreamWrapper: ...
@overload
def text_completion(
    prompt: str | list[Any] = ..., model: str = ..., *, stream: Literal[True], **params: Any
) -> Any: ...
@overload
def text_completion(
    prompt: str | list[Any] = ...,
    model: str = ...,
    *,
    stream: Literal[False] | None = None,
    **params: Any,
) -> TextCompletionResponse: ...
@overload
def text_completion(
    prompt: str | list[Any] = ..., model: str = ..., *, stream: bool | None, **params: Any
) -> Any: ...
@overload
async def atext_completion(
    prompt: str | list[Any] = ..., model: str = ..., *, stream: Literal[True], **params: Any
) -> Any: ...
@overload
async def atext_completion(
    prompt: str | list[Any] = ...,
    model: str = ...,
    *,
    stream: Literal[False] | None = None,
    **params: Any,
) -> TextCompletionResponse: ...
@overload
async def atext_completion(
    prompt: str | list[Any] = ..., model: str = ..., *, stream: bool | None, **params: Any
) -> Any: ...
def batch_completion(
    model: str, messages: list[_Messages], **params: Any
) -> list[ModelResponse]: ...
def embedding(
    model: str = ..., input: str | list[Any] = ..., **params: Any
) -> EmbeddingResponse: ...
async def aembedding(
    model: str = ..., input: str | list[Any] = ..., **params: Any
) -> EmbeddingResponse: ...
def image_generation(prompt: str, model: str | None = ..., **params: Any) -> ImageResponse: ...
async def aimage_generation(
    prompt: str, model: str | None = ..., **params: Any
) -> ImageResponse: ...
def transcription(model: str, file: Any, **params: Any) -> TranscriptionResponse: ...
async def atranscription(model: str, file: Any, **params: Any) -> TranscriptionResponse: ...

# LiteLLM has no public name for the types of these.
def responses(input: str | list[Any], model: str | None = ..., **params: Any) -> Any: ...
async def aresponses(input: str | list[Any], model: str | None = ..., **params: Any) -> Any: ...
def speech(model: str, input: str, voice: str | None = ..., **params: Any) -> Any: ...
async def aspeech(model: str, input: str, voice: str | None = ..., **params: Any) -> Any: ...
def moderation(input: str | list[Any], model: str | None = ..., **params: Any) -> Any: ...
async def amoderation(input: str | list[Any], model: str | None = ..., **params: Any) -> Any: ...
