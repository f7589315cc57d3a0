"""The LiteLLM Proxy on translated configuration."""
