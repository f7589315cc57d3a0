"""LiteLLM, openai and httpx: everything that knows their internals."""
