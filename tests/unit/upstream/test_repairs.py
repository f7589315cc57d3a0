"""The quick way to make a reply's object gives what the SDK's own way gives."""

from __future__ import annotations

import copy
import json
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from adapter.upstream import repairs

CALL = {"index": 0, "id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
TOP = {"id": "x", "created": 1, "model": "m", "service_tier": "auto", "more": {"a": [1]}}
TOKEN = {"token": "t", "logprob": -0.5, "bytes": None, "top_logprobs": []}
MESSAGE = {"role": "assistant", "content": "hi", "reasoning": "hm", "tool_calls": [CALL]}
CHOICE = {"index": 0, "finish_reason": "stop", "logprobs": {"content": [TOKEN], "refusal": None}}
DETAILS = {"cached_tokens": 1, "audio_tokens": None, "more": 2.5}
USAGE = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}
USAGES = {**USAGE, "prompt_tokens_details": DETAILS, "cost": 0.1}
WHOLE = {
    **TOP,
    "object": "chat.completion",
    "choices": [{**CHOICE, "message": MESSAGE}],
    "usage": USAGES,
}
CHUNK = {
    **TOP,
    "object": "chat.completion.chunk",
    "choices": [{**CHOICE, "delta": MESSAGE}],
    "usage": USAGES,
}
CLASSES = {
    "whole": (WHOLE, ChatCompletion, repairs.reply_class),
    "chunk": (CHUNK, ChatCompletionChunk, repairs._chunk_class),
}
VALUES: st.SearchStrategy[Any] = st.sampled_from(
    [None, True, 0, 1.0, 1.5, -1, "", "1", "stop", "eos", [], ["x"], {}, {"a": None}, [{}], 2**70]
)


def paths(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield where something stands in ``value``."""
    entries = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in entries:
        yield (*path, key)
        if isinstance(inner, dict | list):
            yield from paths(inner, (*path, key))


def dumped(made: Any) -> str:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydantic's, for types that are not the field's
        return json.dumps([made.model_dump(), made.model_dump(exclude_unset=True)])


@pytest.mark.parametrize("kind", CLASSES)
@given(data=st.data())
def test_both_ways_give_the_same(kind: str, data: st.DataObject) -> None:
    reply, theirs, ours = CLASSES[kind]
    reply = copy.deepcopy(reply)
    for _ in range(data.draw(st.integers(0, 3))):
        *outer, last = data.draw(st.sampled_from(list(paths(reply))))
        place: Any = reply
        for key in outer:
            place = place[key]
        if data.draw(st.booleans()):
            place[last] = copy.deepcopy(data.draw(VALUES))
            assume(last != "content" or not isinstance(place[last], list))  # its parts are joined
        else:
            del place[last]

    def made(model_class: Any) -> str:
        try:
            return dumped(model_class.construct(**copy.deepcopy(reply)))
        except Exception as error:  # noqa: BLE001 - both ways fail, or neither
            return type(error).__name__

    assert made(ours(theirs)) == made(theirs)


@pytest.mark.parametrize("kind", CLASSES)
def test_a_reply_in_openais_form_takes_the_quick_way(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    reply, theirs, ours = CLASSES[kind]
    quick = ours(theirs)
    monkeypatch.delattr(theirs.__mro__[1], "construct")
    assert isinstance(quick.construct(**reply), theirs)
