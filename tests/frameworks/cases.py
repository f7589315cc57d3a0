"""What each framework is asked to do, run in an environment of its own.

Usage: python cases.py FRAMEWORK MODE ASPECT... Prints what came back; the runner looks at that and
at what the server received. MODE is ``install`` (``adapter.install()``) or ``gateway`` (the
variables of ``adapter run``). Nothing here imports more than the framework that is asked for.
"""

from __future__ import annotations

import asyncio
import os
import sys
from typing import Any

MODEL = "p-1/org/m"
PROMPT = "What is the weather in Paris?"
MESSAGES = [{"role": "user", "content": PROMPT}]
SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
TOOL = {
    "type": "function",
    "function": {"name": "weather", "description": "The weather", "parameters": SCHEMA},
}
FORMAT = {"type": "json_schema", "json_schema": {"name": "City", "schema": SCHEMA, "strict": True}}


LOOP = asyncio.new_event_loop()
asyncio.set_event_loop(LOOP)


def run(awaitable: Any) -> Any:
    """Return what ``awaitable`` gives, in the one event loop that clients are kept for."""
    return LOOP.run_until_complete(awaitable)


def weather(city: str) -> str:
    """Return the weather.

    Args:
        city: The city.
    """
    return f"sunny in {city}"


def city_model() -> Any:
    """Return a class of pydantic's with the fields of ``SCHEMA``."""
    from pydantic import BaseModel

    class City(BaseModel):
        """A city."""

        city: str

    return City


def proxied(mode: str) -> str:
    """Return the model string for LiteLLM: ours, or a LiteLLM proxy's."""
    return MODEL if mode == "install" else f"litellm_proxy/{MODEL}"


def raw(mode: str, aspect: str) -> Any:
    from litellm import completion

    model = proxied(mode)
    if aspect == "streamed":
        chunks = completion(model, MESSAGES, stream=True)
        return "".join(c.choices[0].delta.content or "" for c in chunks)
    if aspect == "tools":
        reply = completion(model, MESSAGES, tools=[TOOL])
        return reply.choices[0].message.tool_calls[0].function
    if aspect == "structured":
        return completion(model, MESSAGES, response_format=FORMAT).choices[0].message.content
    reply = completion(model, MESSAGES)
    return reply.usage if aspect == "usage" else reply.choices[0].message.content


def dspy(mode: str, aspect: str) -> Any:
    import dspy as d

    d.configure(lm=d.LM(proxied(mode), cache=False, num_retries=0), track_usage=aspect == "usage")
    if aspect == "streamed":
        program = d.streamify(
            d.Predict("question -> city"),
            stream_listeners=[d.streaming.StreamListener(signature_field_name="city")],
        )

        async def read() -> list[Any]:
            return [part async for part in program(question=PROMPT)]

        return run(read())
    if aspect == "tools":
        return d.LM(proxied(mode), cache=False)(PROMPT, tools=[TOOL])
    if aspect == "structured":
        adapter = d.JSONAdapter()
        with d.context(adapter=adapter):
            return d.Predict("question -> city")(question=PROMPT).city
    if aspect == "usage":
        return d.Predict("question -> city")(question=PROMPT).get_lm_usage()
    return d.LM(proxied(mode), cache=False, num_retries=0)(PROMPT)


def ask_langchain(llm: Any, aspect: str) -> Any:
    if aspect == "streamed":
        return "".join(str(c.content) for c in llm.stream(PROMPT))
    if aspect == "tools":
        return llm.bind_tools([TOOL]).invoke(PROMPT).tool_calls
    if aspect == "structured":
        return llm.with_structured_output(
            {**SCHEMA, "title": "City", "description": "a city"}
        ).invoke(PROMPT)
    reply = llm.invoke(PROMPT)
    return reply.usage_metadata if aspect == "usage" else reply.content


def langchain(mode: str, aspect: str) -> Any:
    from langchain_litellm import ChatLiteLLM

    return ask_langchain(ChatLiteLLM(model=proxied(mode), max_retries=0), aspect)


def langchain_router(mode: str, aspect: str) -> Any:
    from langchain_litellm import ChatLiteLLMRouter
    from litellm import Router

    entry = {"model_name": "any", "litellm_params": {"model": proxied(mode)}}
    llm = ChatLiteLLMRouter(router=Router(model_list=[entry], num_retries=0), model_name="any")
    return ask_langchain(llm, aspect)


def smolagents(mode: str, aspect: str) -> Any:
    import smolagents as s

    model = s.LiteLLMModel(model_id=proxied(mode), retry=False)
    message = [s.ChatMessage(role="user", content=[{"type": "text", "text": PROMPT}])]
    if aspect == "streamed":
        return "".join(d.content or "" for d in model.generate_stream(message))
    if aspect == "tools":
        reply = model.generate(message, tools_to_call_from=[s.tool(weather)])
        return reply.tool_calls
    if aspect == "structured":
        return model.generate(message, response_format=FORMAT).content
    reply = model.generate(message)
    return reply.token_usage if aspect == "usage" else reply.content


def instructor(mode: str, aspect: str) -> Any:
    import instructor as i

    client = i.from_provider(f"litellm/{proxied(mode)}")
    more = {"model": proxied(mode), "messages": MESSAGES, "max_retries": 1}  # it forgets the model
    if aspect == "streamed":
        client = i.from_provider(f"litellm/{proxied(mode)}", async_client=True)

        async def read() -> list[Any]:
            return [
                part async for part in client.create_partial(response_model=city_model(), **more)
            ]

        return run(read())[-1]
    if aspect == "tools":
        client = i.from_provider(f"litellm/{proxied(mode)}", mode=i.Mode.TOOLS)
    if aspect == "usage":
        return client.create_with_completion(response_model=city_model(), **more)[1].usage
    return client.create(response_model=city_model(), **more)


def openai_agents(mode: str, aspect: str) -> Any:
    import agents as a

    a.set_tracing_disabled(True)
    model = f"litellm/{MODEL}" if mode == "install" else MODEL
    if mode != "install":
        provider = a.OpenAIProvider()  # /v1/responses
        model = provider.get_model(MODEL)
    tools = [a.function_tool(weather)] if aspect == "tools" else []
    kind = city_model() if aspect == "structured" else str
    agent = a.Agent(name="x", model=model, tools=tools, output_type=kind)
    if aspect == "streamed":

        async def read() -> str:
            result = a.Runner.run_streamed(agent, PROMPT)
            parts = [e async for e in result.stream_events() if e.type == "raw_response_event"]
            return "".join(getattr(e.data, "delta", "") for e in parts)

        return run(read())
    result = a.Runner.run_sync(agent, PROMPT)
    return result.context_wrapper.usage if aspect == "usage" else result.final_output


def llama_index(mode: str, aspect: str) -> Any:
    from llama_index.core.llms import ChatMessage
    from llama_index.core.tools import FunctionTool
    from llama_index.llms.litellm import LiteLLM

    llm = LiteLLM(model=proxied(mode), max_retries=0)
    chat = [ChatMessage(role="user", content=PROMPT)]
    if aspect == "streamed":
        return "".join(c.delta or "" for c in llm.stream_chat(chat))
    if aspect == "tools":
        reply = llm.chat_with_tools([FunctionTool.from_defaults(weather)], PROMPT)
        return llm.get_tool_calls_from_response(reply)
    if aspect == "structured":
        return llm.as_structured_llm(city_model()).chat(chat).message.content
    reply = llm.chat(chat)
    return reply.raw["usage"] if aspect == "usage" else reply.message.content


def mem0(mode: str, aspect: str) -> Any:
    if mode == "install":
        from mem0.configs.llms.base import BaseLlmConfig
        from mem0.llms.litellm import LiteLLM

        llm = LiteLLM(BaseLlmConfig(model=MODEL))
    else:  # for litellm_proxy/... its LiteLLM class refuses tools
        from mem0.configs.llms.openai import OpenAIConfig
        from mem0.llms.openai import OpenAILLM

        llm = OpenAILLM(OpenAIConfig(model=MODEL))
    if aspect == "tools":
        return llm.generate_response(MESSAGES, tools=[TOOL])
    if aspect == "structured":
        return llm.generate_response(MESSAGES, response_format={"type": "json_object"})
    return llm.generate_response(MESSAGES)


def pydantic_ai(mode: str, aspect: str) -> Any:
    from pydantic_ai import Agent

    kind = city_model() if aspect == "structured" else str
    agent = Agent(f"openai:{MODEL}", output_type=kind, retries=0)
    if aspect == "tools":
        agent.tool_plain(weather)
    if aspect == "streamed":

        async def read() -> str:
            async with agent.run_stream(PROMPT) as run:
                return "".join([part async for part in run.stream_text(delta=True)])

        return run(read())
    result = agent.run_sync(PROMPT)
    usage = result.usage() if callable(result.usage) else result.usage
    return usage if aspect == "usage" else result.output


def google_adk(mode: str, aspect: str) -> Any:
    from google.adk.agents import LlmAgent
    from google.adk.agents.run_config import RunConfig, StreamingMode
    from google.adk.models.lite_llm import LiteLlm
    from google.adk.runners import InMemoryRunner
    from google.genai import types

    agent = LlmAgent(
        name="x",
        model=LiteLlm(model=proxied(mode)),
        tools=[weather] if aspect == "tools" else [],
        output_schema=city_model() if aspect == "structured" else None,
    )

    async def ask() -> str:
        runner = InMemoryRunner(agent=agent, app_name="a")
        session = await runner.session_service.create_session(app_name="a", user_id="u")
        content = types.Content(role="user", parts=[types.Part(text=PROMPT)])
        streaming = StreamingMode.SSE if aspect == "streamed" else StreamingMode.NONE
        shown = []
        async for event in runner.run_async(
            user_id="u",
            session_id=session.id,
            new_message=content,
            run_config=RunConfig(streaming_mode=streaming),
        ):
            if event.error_message:
                raise RuntimeError(event.error_message)
            shown.append(event.usage_metadata if aspect == "usage" else event.content)
        return str(shown)

    return run(ask())


def crewai(mode: str, aspect: str) -> Any:
    from crewai import LLM

    llm = LLM(model=proxied(mode), is_litellm=True, stream=aspect == "streamed")
    if aspect == "tools":
        return llm.call(MESSAGES, tools=[TOOL], available_functions={"weather": weather})
    if aspect == "structured":
        return llm.call(MESSAGES, response_model=city_model())
    if aspect == "usage":  # as a crew counts it
        from crewai.agents.agent_builder.utilities.base_token_process import TokenProcess
        from crewai.utilities.token_counter_callback import TokenCalcHandler

        count = TokenProcess()
        llm.call(MESSAGES, callbacks=[TokenCalcHandler(count)])
        return count.get_summary()
    return llm.call(MESSAGES)


def inspect_ai(mode: str, aspect: str) -> Any:
    from inspect_ai.model import GenerateConfig, ResponseSchema, get_model
    from inspect_ai.tool import ToolInfo, ToolParams
    from inspect_ai.util import JSONSchema

    model = get_model(f"openai-api/openai/{MODEL}", stream=aspect == "streamed")
    city = JSONSchema(type="string")
    more: dict[str, Any] = {}
    if aspect == "tools":
        params = ToolParams(properties={"city": city}, required=["city"])
        more["tools"] = [ToolInfo(name="weather", description="w", parameters=params)]
    if aspect == "structured":
        schema = JSONSchema(type="object", properties={"city": city}, required=["city"])
        more["config"] = GenerateConfig(
            response_schema=ResponseSchema(name="City", json_schema=schema)
        )
    else:
        more["config"] = GenerateConfig(max_retries=0)
    reply = run(model.generate(PROMPT, **more))
    if aspect == "tools":
        return reply.message.tool_calls
    return reply.usage if aspect == "usage" else reply.completion


def browser_use(mode: str, aspect: str) -> Any:
    from browser_use import ChatOpenAI
    from browser_use.llm.messages import UserMessage

    llm = ChatOpenAI(model=MODEL, max_retries=0)
    kind = city_model() if aspect == "structured" else None
    reply = run(llm.ainvoke([UserMessage(content=PROMPT)], output_format=kind))
    return reply.usage if aspect == "usage" else reply.completion


def lm_eval(mode: str, aspect: str) -> Any:
    import json

    from lm_eval.api.instance import Instance
    from lm_eval.models.api_models import JsonChatStr
    from lm_eval.models.openai_completions import LocalChatCompletion

    url = f"{os.environ['OPENAI_BASE_URL']}/chat/completions"
    llm = LocalChatCompletion(model=MODEL, base_url=url, max_retries=1)
    options: dict[str, Any] = {"until": ["\n\n"], "max_gen_toks": 9}
    if aspect == "structured":
        options["response_format"] = FORMAT
    asked = (JsonChatStr(json.dumps(MESSAGES)), options)
    return llm.generate_until([Instance("generate_until", {}, asked, 0)])


CASES = {
    "lm-eval": lm_eval,
    "raw": raw,
    "dspy": dspy,
    "langchain": langchain,
    "langchain-router": langchain_router,
    "smolagents": smolagents,
    "instructor": instructor,
    "openai-agents": openai_agents,
    "llama-index": llama_index,
    "mem0": mem0,
    "pydantic-ai": pydantic_ai,
    "google-adk": google_adk,
    "crewai": crewai,
    "inspect-ai": inspect_ai,
    "browser-use": browser_use,
}


def main() -> None:
    """Run a framework's aspects, each when a line of stdin says so."""
    global MODEL  # noqa: PLW0603 - what all cases ask for
    framework, mode, *aspects = sys.argv[1:]
    if mode == "install":
        import adapter

        adapter.install()
    for aspect in aspects:
        sys.stdin.readline()
        if aspect == "error":
            MODEL = "p-1/denied"
        try:
            result = CASES[framework](mode, "plain" if aspect == "error" else aspect)
        except Exception as error:  # noqa: BLE001 - the runner says whether it is the right one
            result = f"{type(error).__name__}: {error}"
        shown = str(result).replace("\n", " ")[:2000]
        print("\nRESULT", shown, flush=True)  # noqa: T201 - what the runner reads


if __name__ == "__main__":
    main()
