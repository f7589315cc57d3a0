"""LiteLLM kept imported for the command: a process that forks a child for each query (Linux)."""
