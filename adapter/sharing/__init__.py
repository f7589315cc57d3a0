"""``[[providers]]`` to LiteLLM's ``config.yaml``, and back."""
