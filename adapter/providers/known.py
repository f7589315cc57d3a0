"""Providers whose base URL and key variable need not be typed: what `providers add NAME` knows.

Data only. The values are those of ``config_examples/``, which name the vendors' own pages, and a
test compares them with these files and with what LiteLLM has for its provider.
"""

from __future__ import annotations

from typing import Final, NamedTuple

__all__ = ["KNOWN", "LOCAL", "KnownProvider"]


class KnownProvider(NamedTuple):
    """A service or local server. ``api_key_env`` is ``None`` where no key is needed.

    ``prefix`` is LiteLLM's name for it, where it has one.
    """

    name: str
    base_url: str
    api_key_env: str | None = None
    prefix: str | None = None


_ROWS: Final = (
    KnownProvider("aimlapi", "https://api.aimlapi.com/v1", "AIML_API_KEY", "aiml"),
    KnownProvider("cerebras", "https://api.cerebras.ai/v1", "CEREBRAS_API_KEY", "cerebras"),
    KnownProvider("chutes", "https://llm.chutes.ai/v1", "CHUTES_API_KEY", "chutes"),
    KnownProvider(
        "deepinfra", "https://api.deepinfra.com/v1/openai", "DEEPINFRA_API_KEY", "deepinfra"
    ),
    KnownProvider("deepseek", "https://api.deepseek.com", "DEEPSEEK_API_KEY"),
    KnownProvider(
        "fireworks", "https://api.fireworks.ai/inference/v1", "FIREWORKS_API_KEY", "fireworks_ai"
    ),
    KnownProvider("groq", "https://api.groq.com/openai/v1", "GROQ_API_KEY", "groq"),
    KnownProvider("jan", "http://localhost:1337/v1"),
    KnownProvider("litellm-proxy", "http://localhost:4000/v1", "LITELLM_PROXY_API_KEY"),
    KnownProvider("llamacpp", "http://localhost:8080/v1"),
    KnownProvider("lmstudio", "http://localhost:1234/v1"),
    KnownProvider("localai", "http://localhost:8080/v1"),
    KnownProvider("mistral", "https://api.mistral.ai/v1", "MISTRAL_API_KEY", "mistral"),
    KnownProvider("moonshot", "https://api.moonshot.ai/v1", "MOONSHOT_API_KEY", "moonshot"),
    KnownProvider("nebius", "https://api.studio.nebius.ai/v1", "NEBIUS_API_KEY", "nebius"),
    KnownProvider("ollama", "http://localhost:11434/v1"),
    KnownProvider("openai", "https://api.openai.com/v1", "OPENAI_API_KEY", "openai"),
    KnownProvider("openrouter", "https://openrouter.ai/api/v1", "OPENROUTER_API_KEY", "openrouter"),
    KnownProvider("requesty", "https://router.requesty.ai/v1", "REQUESTY_API_KEY"),
    KnownProvider("sambanova", "https://api.sambanova.ai/v1", "SAMBANOVA_API_KEY", "sambanova"),
    KnownProvider("together", "https://api.together.ai/v1", "TOGETHER_API_KEY", "together_ai"),
    KnownProvider("vllm", "http://localhost:8000/v1"),
    KnownProvider("xai", "https://api.x.ai/v1", "XAI_API_KEY", "xai"),
)

KNOWN: Final = {row.name: row for row in _ROWS}

LOCAL: Final = ("ollama", "lmstudio", "vllm", "llamacpp", "localai", "jan")
"""The servers that run on one's own machine, which `providers discover` looks for."""
