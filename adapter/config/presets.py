"""Providers whose base URL and key variable need not be typed: what `providers add NAME` knows.

Data only. The values are those of ``config_examples/``, which name the vendors' own pages, and a
test compares them with these files and with what LiteLLM has for its provider.
"""

from __future__ import annotations

from typing import Final, NamedTuple

__all__ = ["LOCAL", "PRESETS", "Preset"]


class Preset(NamedTuple):
    """A service or local server. ``api_key_env`` is ``None`` where no key is needed."""

    name: str
    base_url: str
    api_key_env: str | None = None


_ROWS: Final = (
    Preset("aimlapi", "https://api.aimlapi.com/v1", "AIML_API_KEY"),
    Preset("anthropic", "https://api.anthropic.com/v1", "ANTHROPIC_API_KEY"),
    Preset("cerebras", "https://api.cerebras.ai/v1", "CEREBRAS_API_KEY"),
    Preset("chutes", "https://llm.chutes.ai/v1", "CHUTES_API_KEY"),
    Preset("deepinfra", "https://api.deepinfra.com/v1/openai", "DEEPINFRA_API_KEY"),
    Preset("deepseek", "https://api.deepseek.com", "DEEPSEEK_API_KEY"),
    Preset("fireworks", "https://api.fireworks.ai/inference/v1", "FIREWORKS_API_KEY"),
    Preset("gemini", "https://generativelanguage.googleapis.com/v1beta/openai", "GEMINI_API_KEY"),
    Preset("groq", "https://api.groq.com/openai/v1", "GROQ_API_KEY"),
    Preset("jan", "http://localhost:1337/v1"),
    Preset("litellm-proxy", "http://localhost:4000/v1", "LITELLM_PROXY_API_KEY"),
    Preset("llamacpp", "http://localhost:8080/v1"),
    Preset("lmstudio", "http://localhost:1234/v1"),
    Preset("localai", "http://localhost:8080/v1"),
    Preset("mistral", "https://api.mistral.ai/v1", "MISTRAL_API_KEY"),
    Preset("moonshot", "https://api.moonshot.ai/v1", "MOONSHOT_API_KEY"),
    Preset("nebius", "https://api.studio.nebius.ai/v1", "NEBIUS_API_KEY"),
    Preset("ollama", "http://localhost:11434/v1"),
    Preset("openai", "https://api.openai.com/v1", "OPENAI_API_KEY"),
    Preset("openrouter", "https://openrouter.ai/api/v1", "OPENROUTER_API_KEY"),
    Preset("requesty", "https://router.requesty.ai/v1", "REQUESTY_API_KEY"),
    Preset("sambanova", "https://api.sambanova.ai/v1", "SAMBANOVA_API_KEY"),
    Preset("together", "https://api.together.ai/v1", "TOGETHER_API_KEY"),
    Preset("vllm", "http://localhost:8000/v1"),
    Preset("xai", "https://api.x.ai/v1", "XAI_API_KEY"),
)

PRESETS: Final = {row.name: row for row in _ROWS}

LOCAL: Final = ("ollama", "lmstudio", "vllm", "llamacpp", "localai", "jan")
"""The servers that run on one's own machine, which `providers discover` looks for."""
