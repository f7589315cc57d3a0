"""What LiteLLM calls a provider and this project can call too: prefix, base URL, variables.

Data only. ``adapter config import`` turns ``litellm_params.model = "<prefix>/<id>"`` into an
OpenAI-compatible provider with it, without importing LiteLLM.

A row is here when LiteLLM was seen, by a recording server, to send a plain
``POST {base}/chat/completions`` with ``Authorization: Bearer <key>`` and the model id unchanged:
sync, async and streamed, with LiteLLM 1.105.3 and 1.109.1, for a made-up id and for each chat
model that LiteLLM's own map lists under the prefix (but for what is said below). Bases and
variables come from ``llms/openai_like/providers.json``,
``litellm_core_utils/get_llm_provider_logic.py`` and, where they live in a handler alone,
``main.py``. ``tests/unit/test_litellm_prefixes.py`` and ``tests/wire/test_litellm_prefixes.py``
compare every row with the installed LiteLLM, so that a release that differs shows. The other
prefixes of LiteLLM are in ``litellm_refused``.

What a row does not say:

* LiteLLM sends ``$OPENAI_API_KEY`` (and goes to ``$OPENAI_BASE_URL``) when most prefixes lack
  their own; that fallback is left out, since a key for OpenAI must not go to another host.
* A model id that LiteLLM's model map marks ``mode: responses`` (``gpt-5-codex``, ``o1-pro``)
  goes to ``/responses`` under ``openai``, ``databricks``, ``litellm_proxy``, ``meta``,
  ``perplexity`` and ``xai``.
* ``ai21/<id>`` goes to AI21 only for the Jamba ids in LiteLLM's map and to OpenAI for any other;
  the row has AI21's base for all.
* ``aiohttp_openai`` is plain in async calls, which are all that LiteLLM's proxy makes; its sync
  call posts a form.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

__all__ = [
    "BASE_SUFFIX",
    "KEY_ALTERNATIVES",
    "KEY_OPTIONAL",
    "MODEL_ID_PREFIXES",
    "NOT_PLAIN_IDS",
    "OPENAI_COMPATIBLE",
    "TEXT_COMPLETION",
    "OpenAICompatible",
]


class OpenAICompatible(NamedTuple):
    """A LiteLLM prefix that stands for an OpenAI-compatible API.

    ``base_url`` is None where LiteLLM has no base of its own: the entry's ``api_base`` is
    required. ``api_key_env`` is the variable LiteLLM reads when the entry has no ``api_key``
    (see :data:`KEY_ALTERNATIVES`), ``api_base_env`` the one it reads when it has no ``api_base``.
    """

    prefix: str
    base_url: str | None
    api_key_env: str | None
    api_base_env: str | None


_OWN = "*"  # the variable named after the prefix: GROQ_API_KEY, GROQ_API_BASE


def _row(prefix: str, base: str | None, key: str | None, env: str | None) -> OpenAICompatible:
    own = prefix.upper().replace("-", "_")
    return OpenAICompatible(
        prefix,
        base,
        f"{own}_API_KEY" if key == _OWN else key,
        f"{own}_API_BASE" if env == _OWN else env,
    )


_ROWS: Final[tuple[tuple[str, str | None, str | None, str | None], ...]] = (
    ("abliteration", "https://api.abliteration.ai/v1", "*", None),
    ("ai21", "https://api.ai21.com/studio/v1", "*", "*"),
    ("ai21_chat", "https://api.ai21.com/studio/v1", "AI21_API_KEY", "AI21_API_BASE"),
    ("aiand", "https://api.aiand.com/v1", "*", "*"),
    ("aihubmix", "https://aihubmix.com/v1", "*", "*"),
    ("aiml", "https://api.aimlapi.com/v1", "*", "*"),
    ("aiohttp_openai", "https://api.openai.com/v1", "OPENAI_API_KEY", "OPENAI_BASE_URL"),
    ("amazon_nova", "https://api.nova.amazon.com/v1", "*", "*"),
    ("apertis", "https://api.stima.tech/v1", "STIMA_API_KEY", None),
    ("assemblyai", "https://llm-gateway.assemblyai.com/v1", "*", None),
    ("baseten", "https://inference.baseten.co/v1", "*", None),
    ("bigmodel", "https://open.bigmodel.cn/api/paas/v4", "*", "*"),
    ("cerebras", "https://api.cerebras.ai/v1", "*", "*"),
    ("charity_engine", "https://api.charityengine.services/remotejobs/v2/inference", "*", None),
    ("chutes", "https://llm.chutes.ai/v1", "*", None),
    ("clf_ai_gateway", "https://api.clfaigateway.dev/v1", "*", "*"),
    ("cloudflare", None, "*", "*"),
    ("codestral", "https://codestral.mistral.ai/v1", "*", "*"),
    ("cognition", "https://api.cognition.ai/v1", "*", "*"),
    ("cometapi", "https://api.cometapi.com/v1", "COMETAPI_KEY", "*"),
    ("compactifai", "https://api.compactif.ai/v1", "*", None),
    ("coralbricks", "https://inference.coralbricks.ai/v1", "*", "*"),
    ("cortecs", "https://api.cortecs.ai/v1", "*", "*"),
    ("crusoe", "https://api.inference.crusoecloud.com/v1", "*", "*"),
    ("custom_openai", None, "OPENAI_API_KEY", "OPENAI_BASE_URL"),
    ("darkbloom", "https://api.darkbloom.dev/v1", "*", "*"),
    ("dashscope", "https://dashscope.aliyuncs.com/compatible-mode/v1", "*", "*"),
    ("databricks", None, "*", "*"),
    ("deepinfra", "https://api.deepinfra.com/v1/openai", "*", "*"),
    ("deepseek", "https://api.deepseek.com/beta", "*", "*"),
    ("docker_model_runner", "http://localhost:22088/engines/llama.cpp", "*", "*"),
    ("edenai", "https://api.edenai.run/v3", "*", "*"),
    ("empiriolabs", "https://api.empiriolabs.ai/v1", "*", "*"),
    ("empower", "https://app.empower.dev/api/v1", "*", "*"),
    ("featherless_ai", "https://api.featherless.ai/v1", "*", "*"),
    (
        "fireworks_ai",
        "https://api.fireworks.ai/inference/v1",
        "FIREWORKS_API_KEY",
        "FIREWORKS_API_BASE",
    ),
    ("friendliai", "https://api.friendli.ai/serverless/v1", "*", "FRIENDLI_API_BASE"),
    ("galadriel", "https://api.galadriel.com/v1", "*", "*"),
    ("github", "https://models.inference.ai.azure.com", "*", "*"),
    ("gmi", "https://api.gmi-serving.com/v1", "*", None),
    ("gradient_ai", "https://inference.do-ai.run/v1", "*", "GRADIENT_AI_AGENT_ENDPOINT"),
    ("groq", "https://api.groq.com/openai/v1", "*", "*"),
    ("helicone", "https://ai-gateway.helicone.ai", "*", None),
    ("heroku", None, "*", "*"),
    ("hosted_vllm", None, "*", "*"),
    ("hostinger_router", "https://router.hostinger.com/v1", "*", "*"),
    ("huggingface", "https://router.huggingface.co/v1", "HF_TOKEN", None),
    ("hyperbolic", "https://api.hyperbolic.xyz/v1", "*", "*"),
    ("inception", "https://api.inceptionlabs.ai/v1", "*", "*"),
    ("inferenceapis", "https://api.inferenceapis.com/v1", "*", "*"),
    ("kyma", "https://kymaapi.com/v1", "*", None),
    ("lambda_ai", "https://api.lambda.ai/v1", "LAMBDA_API_KEY", "LAMBDA_API_BASE"),
    ("lemonade", "http://localhost:8000/api/v1", "*", "*"),
    ("libertai", "https://api.libertai.io/v1", "*", "*"),
    ("litellm_proxy", None, "*", "*"),
    ("llamafile", "http://127.0.0.1:8080/v1", "*", "*"),
    ("llamagate", "https://api.llamagate.dev/v1", "*", None),
    ("lm_studio", None, "*", "*"),
    ("maritalk", "https://chat.maritaca.ai/api", "*", "*"),
    ("meta", "https://api.meta.ai/v1", "*", "*"),
    ("meta_llama", "https://api.llama.com/compat/v1", "LLAMA_API_KEY", "LLAMA_API_BASE"),
    ("minimax", "https://api.minimax.io/v1", "*", "*"),
    ("mistral", "https://api.mistral.ai/v1", "*", "MISTRAL_AZURE_API_BASE"),
    ("modelscope", "https://api-inference.modelscope.cn/v1", "*", "*"),
    ("moonshot", "https://api.moonshot.ai/v1", "*", "*"),
    ("morph", "https://api.morphllm.com/v1", "*", "*"),
    ("nadir", "https://api.getnadir.com/v1", "*", "*"),
    ("nano-gpt", "https://nano-gpt.com/api/v1", "NANOGPT_API_KEY", None),
    ("nebius", "https://api.studio.nebius.ai/v1", "*", "*"),
    ("neosantara", "https://api.neosantara.xyz/v1", "*", "*"),
    ("novita", "https://api.novita.ai/v3/openai", "*", "*"),
    ("nscale", "https://inference.api.nscale.com/v1", "*", "*"),
    ("nvidia_nim", "https://integrate.api.nvidia.com/v1", "*", "*"),
    ("openai", "https://api.openai.com/v1", "*", "OPENAI_BASE_URL"),
    ("openinfer", "https://api.openinfer.ai/v1", "*", "*"),
    ("openrouter", "https://openrouter.ai/api/v1", "*", "*"),
    ("ovhcloud", "https://oai.endpoints.kepler.ai.cloud.ovh.net/v1", "*", "*"),
    ("parasail", "https://api.parasail.io/v1", "*", "*"),
    ("perplexity", "https://api.perplexity.ai", "PERPLEXITYAI_API_KEY", "*"),
    ("pinstripes", "https://pinstripes.io/v1", "*", "*"),
    ("poe", "https://api.poe.com/v1", "*", None),
    ("prism", "https://api.prisminference.com/v1", "*", "*"),
    ("publicai", "https://api.publicai.co/v1", "*", "*"),
    ("qwen_ai_platform", "https://dashscope.aliyuncs.com/compatible-mode/v1", "*", "*"),
    ("qwencloud", "https://dashscope-intl.aliyuncs.com/compatible-mode/v1", "*", "*"),
    ("refuseless", "https://api.refuseless.com/v1", "*", None),
    ("reka", "https://api.reka.ai/v1", "*", "*"),
    ("sail", "https://api.sailresearch.com/v1", "*", "*"),
    ("sambanova", "https://api.sambanova.ai/v1", "*", "*"),
    ("sarvam", "https://api.sarvam.ai/v1", "*", None),
    ("scaleway", "https://api.scaleway.ai/v1", "SCW_SECRET_KEY", None),
    ("scx-ai", "https://api.scx.ai/v1", "SCX_API_KEY", "SCX_API_BASE"),
    ("streamlake", "https://vanchin.streamlake.ai/api/gateway/v1/endpoints", "*", "*"),
    ("synthetic", "https://api.synthetic.new/openai/v1", "*", None),
    ("tencent", "https://tokenhub-intl.tencentcloudmaas.com/v1", "*", "*"),
    (
        "tensormesh",
        "https://serverless.tensormesh.ai/v1",
        "TENSORMESH_INFERENCE_API_KEY",
        "TENSORMESH_SERVERLESS_BASE_URL",
    ),
    ("together_ai", "https://api.together.ai/v1", "TOGETHER_API_KEY", "*"),
    ("v0", "https://api.v0.dev/v1", "*", "*"),
    ("veniceai", "https://api.venice.ai/api/v1", "VENICE_AI_API_KEY", None),
    ("vercel_ai_gateway", "https://ai-gateway.vercel.sh/v1", "*", "*"),
    ("volcengine", "https://ark.cn-beijing.volces.com/api/v3", "*", "*"),
    ("wandb", "https://api.inference.wandb.ai/v1", "*", "*"),
    ("xai", "https://api.x.ai/v1", "*", "*"),
    ("xiaomi_mimo", "https://api.xiaomimimo.com/v1", "*", None),
    ("xinference", None, None, None),
    ("zai", "https://api.z.ai/api/paas/v4", "*", "*"),
    ("zerogpu", "https://api.zerogpu.ai/v1", "*", "*"),
)

OPENAI_COMPATIBLE: Final[Mapping[str, OpenAICompatible]] = MappingProxyType(
    {row[0]: _row(*row) for row in _ROWS}
)

TEXT_COMPLETION: Final[Mapping[str, OpenAICompatible]] = MappingProxyType(
    {"text-completion-openai": _row("text-completion-openai", *OPENAI_COMPATIBLE["openai"][1:])}
)
"""The same base and variables as ``openai``, but LiteLLM posts to ``{base}/completions``."""

KEY_OPTIONAL: Final = frozenset(
    {"docker_model_runner", "hosted_vllm", "lemonade", "llamafile", "lm_studio"}
)
"""Local servers: with no key and the variable unset, LiteLLM sends a stand-in (``fake-api-key``).

An ``api_key_env`` for them would make the unset variable an error, which it is not in LiteLLM.
"""

KEY_ALTERNATIVES: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "featherless_ai": ("FEATHERLESS_API_KEY",),
        "fireworks_ai": ("FIREWORKS_AI_API_KEY", "FIREWORKSAI_API_KEY", "FIREWORKS_AI_TOKEN"),
        "friendliai": ("FRIENDLI_TOKEN",),
        "huggingface": ("HUGGINGFACE_API_KEY",),
        "mistral": ("MISTRAL_AZURE_API_KEY",),  # LiteLLM reads this one first
        "openrouter": ("OR_API_KEY",),
        "perplexity": ("PERPLEXITY_API_KEY",),
        "qwen_ai_platform": ("DASHSCOPE_API_KEY",),
        "qwencloud": ("DASHSCOPE_API_KEY",),
        "together_ai": ("TOGETHER_AI_API_KEY", "TOGETHERAI_API_KEY", "TOGETHER_AI_TOKEN"),
        "vercel_ai_gateway": ("VERCEL_OIDC_TOKEN",),
    }
)
"""Further variables LiteLLM reads, in its order, when ``api_key_env`` is not set."""

BASE_SUFFIX: Final[Mapping[str, str]] = MappingProxyType(
    {
        "bigmodel": "/api/paas/v4",
        "cometapi": "/v1",
        "gradient_ai": "/api/v1",
        "heroku": "/v1",
        "huggingface": "/v1",
        "minimax": "/v1",
        "mistral": "/v1",
    }
)
"""What LiteLLM adds to an ``api_base`` that does not end in a version (``/v1``, ``/v4``)."""

MODEL_ID_PREFIXES: Final[Mapping[str, tuple[tuple[str, str], ...]]] = MappingProxyType(
    {
        "fireworks_ai": (
            (r"accounts/.*|FW-.*|.*#.*", ""),
            (r"(?:routers|models)/.*", "accounts/fireworks/"),
            (r".*-fast|auto|auto-instant|firerouter(?:/.*)?", "accounts/fireworks/routers/"),
            (r".*", "accounts/fireworks/models/"),
        ),
    }
)
"""What LiteLLM puts before a model id: the first pattern that matches all of the id decides."""

NOT_PLAIN_IDS: Final[Mapping[str, tuple[str, str]]] = MappingProxyType(
    {
        "baseten": (r"[A-Za-z0-9]{8}", "is a dedicated deployment: give its own api_base"),
        "huggingface": (
            r"[^/]+/[^/]+/.+|https?://.*",
            "is routed by what huggingface.co answers: give an api_base",
        ),
        "perplexity": (
            r"(?:anthropic|google|openai|perplexity|preset|xai)/.+",
            "goes to Perplexity's Responses API",
        ),
        "xai": (r".*multi-agent.*", "goes to xAI's Responses API"),
    }
)
"""Ids (pattern, reason) under a compatible prefix that LiteLLM does not send as a plain chat.

The first two hold only for an entry without ``api_base``. An id that begins with ``responses/``
goes, without that part, to ``/responses`` under the prefixes whose Responses API LiteLLM knows.
"""
