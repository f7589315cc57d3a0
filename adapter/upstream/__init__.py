"""LiteLLM, openai and httpx: all that knows their inside."""
