"""LiteLLM inside other frameworks, and other programs on a gateway."""
