"""Providers whose base URL and key variable need not be typed: what `providers add NAME` knows.

A local server needs no key. The values are those of ``config_examples/``, which name the vendors'
own pages, and a test compares them with these files and with what LiteLLM has for its provider.
"""

from __future__ import annotations

from typing import Final

from adapter.config.provider import Provider

__all__ = ["LOCAL", "PRESETS"]


_ROWS: Final = (
    Provider("aimlapi", "https://api.aimlapi.com/v1", api_key_env="AIML_API_KEY"),
    Provider("anthropic", "https://api.anthropic.com/v1", api_key_env="ANTHROPIC_API_KEY"),
    Provider("cerebras", "https://api.cerebras.ai/v1", api_key_env="CEREBRAS_API_KEY"),
    Provider("chutes", "https://llm.chutes.ai/v1", api_key_env="CHUTES_API_KEY"),
    Provider("deepinfra", "https://api.deepinfra.com/v1/openai", api_key_env="DEEPINFRA_API_KEY"),
    Provider("deepseek", "https://api.deepseek.com", api_key_env="DEEPSEEK_API_KEY"),
    Provider("fireworks", "https://api.fireworks.ai/inference/v1", api_key_env="FIREWORKS_API_KEY"),
    Provider(
        "gemini",
        "https://generativelanguage.googleapis.com/v1beta/openai",
        api_key_env="GEMINI_API_KEY",
    ),
    Provider("groq", "https://api.groq.com/openai/v1", api_key_env="GROQ_API_KEY"),
    Provider("jan", "http://localhost:1337/v1"),
    Provider("litellm-proxy", "http://localhost:4000/v1", api_key_env="LITELLM_PROXY_API_KEY"),
    Provider("llamacpp", "http://localhost:8080/v1"),
    Provider("lmstudio", "http://localhost:1234/v1"),
    Provider("localai", "http://localhost:8080/v1"),
    Provider("mistral", "https://api.mistral.ai/v1", api_key_env="MISTRAL_API_KEY"),
    Provider("moonshot", "https://api.moonshot.ai/v1", api_key_env="MOONSHOT_API_KEY"),
    Provider("nebius", "https://api.studio.nebius.ai/v1", api_key_env="NEBIUS_API_KEY"),
    Provider("ollama", "http://localhost:11434/v1"),
    Provider("openai", "https://api.openai.com/v1", api_key_env="OPENAI_API_KEY"),
    Provider("openrouter", "https://openrouter.ai/api/v1", api_key_env="OPENROUTER_API_KEY"),
    Provider("requesty", "https://router.requesty.ai/v1", api_key_env="REQUESTY_API_KEY"),
    Provider("sambanova", "https://api.sambanova.ai/v1", api_key_env="SAMBANOVA_API_KEY"),
    Provider("together", "https://api.together.ai/v1", api_key_env="TOGETHER_API_KEY"),
    Provider("vllm", "http://localhost:8000/v1"),
    Provider("xai", "https://api.x.ai/v1", api_key_env="XAI_API_KEY"),
)

PRESETS: Final = {row.name: row for row in _ROWS}

LOCAL: Final = ("ollama", "lmstudio", "vllm", "llamacpp", "localai", "jan")
"""The servers that run on one's own machine, which `providers discover` looks for."""
