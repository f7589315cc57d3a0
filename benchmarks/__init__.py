"""Measurements beside LiteLLM, the OpenAI SDK, llm and gptme (docs/performance.md)."""
