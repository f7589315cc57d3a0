"""LiteLLM's other prefixes: why they cannot become an OpenAI-compatible provider.

Data only, for the report of ``adapter config import``. Every prefix that the installed LiteLLM
knows is either here or in ``litellm_prefixes``; ``tests/unit/test_litellm_prefixes.py`` compares.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

__all__ = ["INSTEAD", "NOT_EXPRESSIBLE", "UNRESOLVED"]

_AGENT = "speaks an agent protocol, not chat completions"
_AWS = "signs its requests with AWS credentials"
_CLOUD = "needs a cloud account's own credentials, not a key alone"
_DECISIONS = "answers decision requests only, no chat"
_GOOGLE = "speaks Google's own API"
_MEDIA = "makes or edits images or video only, no chat"
_PROMPTS = "takes prompt and model from a prompt-management service"
_SPEECH = "does speech only, no chat"
_STORE = "is a vector store, not a model"

NOT_EXPRESSIBLE: Final[Mapping[str, str]] = MappingProxyType(
    {
        "a2a": _AGENT,
        "a2a_agent": _AGENT,
        "anthropic": "speaks Anthropic's own API",
        "anthropic_text": "speaks Anthropic's own text completion API",
        "anyscale": "is a prefix that LiteLLM no longer accepts",
        "auto_router": "chooses among the other entries of its file by LiteLLM's auto router",
        "aws_polly": _SPEECH,
        "aws_textract": "reads documents (OCR) only, no chat",
        "azure": "needs an api-version and Azure's deployment URLs",
        "azure_ai": "takes path and key header from the Azure host and the model",
        "azure_speech": _SPEECH,
        "azure_text": "needs an api-version and Azure's deployment URLs",
        "bedrock": _AWS,
        "bedrock_mantle": "takes its base from an AWS region and may sign with AWS credentials",
        "bespoke": _DECISIONS,
        "black_forest_labs": _MEDIA,
        "bytez": "speaks Bytez's own API",
        "clarifai": "turns the model id into a clarifai.com URL",
        "cohere": "speaks Cohere's own API",
        "cohere_chat": "speaks Cohere's own API",
        "cursor": "has no chat completions in LiteLLM",
        "custom": "posts to a bare URL in a format of its own",
        "databricks_agent": _AGENT,
        "datarobot": "posts to a fixed URL that is not {base}/chat/completions",
        "deepgram": _SPEECH,
        "dotprompt": _PROMPTS,
        "elevenlabs": _SPEECH,
        "eu_jev": _DECISIONS,
        "fal_ai": "takes exactly one image for each request",
        "gdc": _GOOGLE,
        "gemini": _GOOGLE,
        "gigachat": "fetches an OAuth token before each call",
        "humanloop": _PROMPTS,
        "infinity": "does embeddings and reranking only, no chat",
        "jina_ai": "does embeddings and reranking only, no chat",
        "langflow": _AGENT,
        "langfuse": _PROMPTS,
        "langgraph": _AGENT,
        "laya": _DECISIONS,
        "litellm_agent": _AGENT,
        "manus": "has files and responses only, no chat completions",
        "microsoft_365_copilot": "speaks Microsoft Graph's own API",
        "milvus": _STORE,
        "mongodb": _STORE,
        "nace": _DECISIONS,
        "nlp_cloud": "speaks NLP Cloud's own API",
        "nvidia_riva": _SPEECH,
        "oci": _CLOUD,
        "ollama": "speaks Ollama's own API",
        "ollama_chat": "speaks Ollama's own API",
        "oobabooga": "sends its key as 'Token', not as 'Bearer'",
        "openai_like": "has embeddings only in LiteLLM, no chat",
        "opencode_go": "chooses another API (chat, responses, messages) for each model",
        "opensearch": _STORE,
        "petals": "runs or calls a Petals swarm with its own API",
        "pg_vector": _STORE,
        "predibase": "speaks Predibase's own API",
        "ragflow": "puts the agent of the model id into the path",
        "recraft": _MEDIA,
        "reducto": "reads documents (OCR) only, no chat",
        "replicate": "speaks Replicate's own API",
        "runwayml": _MEDIA,
        "s3_vectors": _STORE,
        "sagemaker": _AWS,
        "sagemaker_chat": _AWS,
        "sagemaker_nova": _AWS,
        "sap": _CLOUD,
        "scaledown": "speaks ScaleDown's own API",
        "snowflake": "puts account and token type of Snowflake into URL and headers",
        "soniox": _SPEECH,
        "stability": _MEDIA,
        "strands_decider": _DECISIONS,
        "text-completion-codestral": "does fill-in-the-middle completions only, no chat",
        "text-completion-inception": "does fill-in-the-middle completions only, no chat",
        "topaz": _MEDIA,
        "transcribe": _SPEECH,
        "triton": "speaks Triton's own API",
        "typesafe": _DECISIONS,
        "valkey": _STORE,
        "vertex_ai": _GOOGLE,
        "vertex_ai_beta": _GOOGLE,
        "vllm": "runs vLLM inside the process",
        "voyage": "does embeddings and reranking only, no chat",
        "watsonx": _CLOUD,
        "watsonx_text": _CLOUD,
    }
)
"""Prefix -> why it cannot become an OpenAI-compatible provider, to follow "<prefix>/... "."""

INSTEAD: Final[Mapping[str, str]] = MappingProxyType(
    {
        "anthropic": "openai/<model> with api_base https://api.anthropic.com/v1",
        "azure": "openai/<deployment> with api_base https://<resource>.openai.azure.com/openai/v1",
        "cohere": "openai/<model> with api_base https://api.cohere.ai/compatibility/v1",
        "cohere_chat": "openai/<model> with api_base https://api.cohere.ai/compatibility/v1",
        "gemini": (
            "openai/<model> with api_base https://generativelanguage.googleapis.com/v1beta/openai"
        ),
        "ollama": "openai/<model> with api_base http://<host>:11434/v1",
        "ollama_chat": "openai/<model> with api_base http://<host>:11434/v1",
        "oobabooga": "openai/<model> with api_base <base>/v1",
        "openai_like": "openai/<model> with the same api_base",
        "opencode_go": "openai/<model> with api_base https://opencode.ai/inference/go/openai/v1",
        "vllm": "hosted_vllm/<model> with the api_base of a vLLM server",
    }
)
"""How to reach the same models through their maker's OpenAI-compatible API, where there is one.

From the makers' documentation, not from LiteLLM: a hint for the user, never applied unasked.
"""

UNRESOLVED: Final = frozenset({"chatgpt", "github_copilot"})
"""Asking LiteLLM about these starts an OAuth login, so neither code nor tests ever do."""
