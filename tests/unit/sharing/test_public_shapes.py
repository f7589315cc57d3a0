"""Shapes of other tools' files as people publish them, each written anew.

Of each kind at least five; each stands for one public file or more, whose shape a comment names.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest

from adapter.sharing.importing import Import, plan_import

Row = tuple[str, str, "str | None", "str | None"]


class Shape(NamedTuple):
    """A file, the providers that it becomes (name, base, key variable, default model), the rest."""

    text: str
    providers: list[Row]
    said: tuple[str, ...] = ()
    """Words of the report, each in a line that is left out or noted."""
    aliases: dict[str, str] = {}  # noqa: RUF012 - no shape changes it
    compatible: bool = False


LOCAL = "http://localhost:4000/v1"

OPENCODE = {
    # a gateway at home: no key, a comma after the last item
    "gateway": Shape(
        '{"$schema": "https://opencode.ai/config.json",\n "provider": {\n  "home_gateway": {\n'
        '   "npm": "@ai-sdk/openai-compatible", "name": "Gateway (home)",\n'
        f'   "options": {{"baseURL": "{LOCAL}"}},\n'
        '   "models": {"small": {"name": "S",}, "large": {"name": "L"}}\n  }\n },\n'
        ' "permission": {"read": {"*": "allow"}},\n "small_model": "home_gateway/small",\n}\n',
        [("home_gateway", LOCAL, None, "small")],
        ("no key in the file; opencode keeps keys",),
    ),
    # no npm package, but "api"
    "api": Shape(
        '{"model": "llamacpp/local", "provider": {"llamacpp": {"api": "openai",\n'
        '"options": {"baseURL": "http://localhost:8080/v1"}, "models": {"local": {"limit":\n'
        '{"context": 80000, "output": 4096}}}}}}',
        [("llamacpp", "http://localhost:8080/v1", None, "local")],
    ),
    # a stand-in for a key, variants, modalities, MCP servers
    "stand-in": Shape(
        '{"model": "local/q-27b", "compaction": {"auto": true}, "provider": {"local": {\n'
        '"npm": "@ai-sdk/openai-compatible", "options": {"baseURL": "http://localhost:8080/v1",\n'
        '"apiKey": "not-needed"}, "models": {"q-27b": {"attachment": true, "modalities":\n'
        '{"input": ["text", "image"]}, "variants": {"high": {"reasoningEffort": "high"}}}}}},\n'
        '"mcp": {"tool": {"type": "local", "command": ["npx", "-y", "tool"]}}}',
        [("local", "http://localhost:8080/v1", None, "q-27b")],
        ("the key not-needed is a placeholder",),
    ),
    # JSONC, agents with prompts
    "jsonc": Shape(
        '{\n  // the box under the desk\n  "model": "box/coder:35b", /* fast */\n'
        '  "provider": { "box": { "npm": "@ai-sdk/openai-compatible",\n'
        '    "options": { "baseURL": "http://127.0.0.1:8000/v1" }, // no key\n'
        '    "models": { "coder:35b": { "limit": { "context": 12288 } } } } },\n'
        '  "agent": { "build": { "model": "box/coder:35b", "prompt": "{file:./a.txt}" } }\n}\n',
        [("box", "http://127.0.0.1:8000/v1", None, "coder:35b")],
    ),
    # base and key from variables
    "variables": Shape(
        '{"model": "review/q-plus", "provider": {"review": {"npm": "@ai-sdk/openai-compatible",\n'
        '"options": {"baseURL": "{env:UPSTREAM_URL}", "apiKey": "{env:UPSTREAM_KEY}"},\n'
        '"models": {"q-plus": {}}}}}',
        [("review", "https://upstream.example/v1", "UPSTREAM_KEY", "q-plus")],
        ("its api_base is the value that $UPSTREAM_URL has now",),
    ),
    # a known provider with headers and a key in the file; one by its package alone
    "headers": Shape(
        '{"provider": {"openrouter": {"npm": "@ai-sdk/openai-compatible", "models": {"a/b": {}},\n'
        '"options": {"apiKey": "sk-or-v1-canary0123456789", "baseURL":\n'
        '"https://openrouter.ai/api/v1", "headers": {"HTTP-Referer": "https://me.example",\n'
        '"X-Team": "{env:TEAM}", "X-Pass": "{file:~/.pass}"}}},\n'
        '"groq": {"npm": "@ai-sdk/groq", "options": {"apiKey": "{env:MY_GROQ}"}}}}',
        [
            ("openrouter", "https://openrouter.ai/api/v1", None, "a/b"),
            ("groq", "https://api.groq.com/openai/v1", "MY_GROQ", None),
        ],
        ("openrouter: its header X-Pass comes from a file, which is not read",),
    ),
}

AICHAT = {
    # a client of a known name, whose base aichat has; a patch
    "patch": Shape(
        "model: groq:openai/gpt-oss-120b\nclients:\n  - type: gemini\n\n"
        "  - type: openai-compatible\n    name: groq\n    patch:\n      chat_completions:\n"
        '        "openai/.*":\n          body: {include_reasoning: false}\nsave_session: false\n',
        [("groq", "https://api.groq.com/openai/v1", "GROQ_API_KEY", None)],
        ("groq: patch, which changes aichat's requests", "gemini speaks Google's own API"),
    ),
    # a client whose base aichat takes from a variable of its own: it never becomes OpenAI
    "no base": Shape(
        "model: pilot:small\nclients:\n- type: azure-openai\n  name: azure\n  models:\n"
        "  - name: gpt-5\n- type: openai-compatible\n  name: pilot\n  models:\n  - name: small\n",
        [],
        ("pilot: an OpenAI-compatible server without its base URL", "azure needs an api-version"),
    ),
    "base": Shape(
        "model: novita-ai:deepseek/v3\nstream: true\nclients:\n  - type: openai-compatible\n"
        "    name: novita-ai\n    api_base: https://api.novita.example/openai\n    models:\n"
        "      - name: zai/glm\n      - name: deepseek/v3\n",
        [("novita-ai", "https://api.novita.example/openai", None, "deepseek/v3")],
    ),
    # the shortest of all
    "openai": Shape(
        "model: openai:gpt-4o\nclients:\n  - type: openai\n",
        [("openai", "https://api.openai.com/v1", "OPENAI_API_KEY", None)],
    ),
    # an old file: the type ollama, and the model without a colon
    "ollama": Shape(
        "model: ollama\nclients:\n- type: ollama\n  api_base: http://127.0.0.1:11434\n  models:\n"
        "  - name: starcoder\n    max_input_tokens: 1028\n- type: mistral\n  models:\n"
        "  - name: open-mixtral-8x7b\n",
        [
            ("ollama", "http://127.0.0.1:11434/v1", None, "starcoder"),
            ("mistral", "https://api.mistral.ai/v1", "MISTRAL_API_KEY", "open-mixtral-8x7b"),
        ],
        compatible=True,
    ),
    # Ollama by its OpenAI-compatible API, without a list of models; loaders for documents
    "loaders": Shape(
        "model: ollama:qwen2.5\nuse_tools: true\ndocument_loaders:\n  pdf: 'pdftotext $1 -'\n"
        "clients:\n  - type: openai-compatible\n    name: ollama\n"
        "    api_base: http://localhost:11434/v1\n",
        [("ollama", "http://localhost:11434/v1", None, None)],
    ),
    "claude": Shape(
        "model: claude\nclients:\n- type: claude\n  api_key: canary-0123456789\n",
        [("claude", "https://api.anthropic.com/v1", None, None)],
        compatible=True,
    ),
}

CONTINUE = {
    # keys in the file, twice the same
    "literal": Shape(
        "name: Mine\nversion: 1.0.0\nschema: v1\nmodels:\n"
        "  - {name: GLM 4, provider: openrouter, model: thudm/glm-4, roles: [chat, edit],\n"
        "     apiBase: 'https://openrouter.ai/api/v1', apiKey: sk-or-v1-canary0123}\n"
        "  - {name: Flash, provider: openrouter, model: google/flash,\n"
        "     apiBase: 'https://openrouter.ai/api/v1', apiKey: sk-or-v1-canary0123}\n"
        "context: [{provider: code}, {provider: docs}]\n",
        [("openrouter", "https://openrouter.ai/api/v1", None, "thudm/glm-4")],
        aliases={"GLM 4": "openrouter/thudm/glm-4", "Flash": "openrouter/google/flash"},
    ),
    # a name that LiteLLM takes for a model of its own, and a variable as a shell writes it
    "variable": Shape(
        "models:\n  - name: claude-sonnet-4-5\n    provider: openai\n    model: sonnet\n"
        "    apiBase: http://localhost:8080/v1\n    apiKey: $ROUTER_API_KEY\n"
        "  - name: Agents\n    provider: openai\n    model: many\n"
        "    apiBase: http://localhost:8080/v1\n    apiKey: ${ROUTER_API_KEY}\nprompts: []\n",
        [("localhost-8080", "http://localhost:8080/v1", "ROUTER_API_KEY", "sonnet")],
        ("claude-sonnet-4-5: hides the model that LiteLLM itself has",),
        {"claude-sonnet-4-5": "localhost-8080/sonnet", "Agents": "localhost-8080/many"},
    ),
    # whatever models a server has
    "autodetect": Shape(
        "models:\n  - name: Ollama\n    provider: ollama\n    model: AUTODETECT\n"
        "  - name: LM Studio\n    provider: lmstudio\n    model: AUTODETECT\n"
        "    apiBase: http://localhost:1234/v1/\n",
        [
            ("ollama", "http://localhost:11434/v1", None, None),
            ("lmstudio", "http://localhost:1234/v1", None, None),
        ],
        compatible=True,
    ),
    # a directive, anchors and merge keys, pictures in names
    "anchors": Shape(
        "%YAML 1.1\n---\nname: Pro\ndefaults: &defaults\n  provider: openrouter\n"
        "  apiBase: https://openrouter.ai/api/v1\n  apiKey: ${OPENROUTER_API_KEY}\n"
        'models:\n  - name: "🧠 Thinker"\n    <<: *defaults\n    model: deepseek/r1:free\n'
        "    capabilities: [tool_use]\n  - name: Coder\n    <<: *defaults\n"
        "    model: qwen/coder:free\nrules:\n  - uses: file://.continue/rules/a.md\n",
        [("openrouter", "https://openrouter.ai/api/v1", "OPENROUTER_API_KEY", "deepseek/r1:free")],
        aliases={
            "🧠 Thinker": "openrouter/deepseek/r1:free",
            "Coder": "openrouter/qwen/coder:free",
        },
    ),
    # secrets in headers, too
    "secrets": Shape(
        "models:\n  - name: Granite [Q6]\n    provider: lmstudio\n    model: granite@q6_k\n"
        "    roles: [autocomplete]\n    apiBase: https://llm.me.example/v1/\n"
        "    apiKey: ${{ secrets.STUDIO_KEY }}\n    requestOptions:\n      headers:\n"
        "        Cf-Access-Client-Secret: ${{ secrets.CF_SECRET }}\n",
        [("llm-me-example", "https://llm.me.example/v1", "STUDIO_KEY", "granite@q6_k")],
        ("Continue keeps its secrets in a store of its own: set the variable",),
        {"Granite [Q6]": "llm-me-example/granite@q6_k"},
    ),
    # models of a hub
    "hub": Shape(
        "models:\n  - uses: anthropic/claude-4-sonnet\n  - name: Bridge\n    provider: openai\n"
        '    model: auto\n    apiBase: "http://localhost:7860/v1"\n    apiKey: "local"\n',
        [("Bridge", "http://localhost:7860/v1", None, "auto")],
        ("anthropic/claude-4-sonnet, a model of Continue's hub", "the key local is a placeholder"),
    ),
}

CRUSH = {
    # llama.cpp without /v1, and OpenAI's own
    "llama.cpp": Shape(
        '{"permissions": {"allowed_tools": ["view"]}, "providers": {"box": {"type": "llama.cpp",\n'
        '"base_url": "https://gpu.me.example", "models": [{"id": "qwen3:30b", "name": "Q",\n'
        '"context_window": 32000, "default_max_tokens": 20000}]}, "openai": {"type": "openai",\n'
        '"base_url": "https://api.openai.com/v1", "api_key": "$OPENAI_API_KEY",\n'
        '"models": [{"id": "gpt-chat"}]}}}',
        [
            ("box", "https://gpu.me.example", None, "qwen3:30b"),
            ("openai", "https://api.openai.com/v1", "OPENAI_API_KEY", "gpt-chat"),
        ],
    ),
    # no models, fields that crush does not have, a shell in what is no provider
    "discovery": Shape(
        '{"lsp": {"Go": {"command": "gopls"}}, "providers": {"vllm": {"name": "vLLM",\n'
        '"base_url": "http://localhost:8000/v1/", "type": "openai", "auto_discovery": true,\n'
        '"health_check": {"enabled": true}, "models": []}},\n'
        '"mcp": {"m": {"env": {"KEY": "$(echo $VLLM_API_KEY)"}}}}',
        [("vllm", "http://localhost:8000/v1", None, None)],
    ),
    # one line
    "line": Shape(
        '{"providers":{"local-inference":{"api_key":"none","base_url":"http://127.0.0.1:8013/v1",'
        '"models":[{"id":"gpt-oss-120b","name":"GPT"}],"name":"Reasoner","type":"openai"}}}',
        [("local-inference", "http://127.0.0.1:8013/v1", None, "gpt-oss-120b")],
        ("the key none is a placeholder",),
    ),
    "openrouter": Shape(
        '{"$schema": "https://charm.land/crush.json", "providers": {"openrouter": {\n'
        '"type": "openai", "base_url": "https://openrouter.ai/api/v1",\n'
        '"api_key": "$OPENROUTER_API_KEY", "models": [{"id": "a/b:free"}]}},\n'
        '"mcp": {"docs": {"type": "http", "headers": {"KEY": "$DOCS_KEY"}}}}',
        [("openrouter", "https://openrouter.ai/api/v1", "OPENROUTER_API_KEY", "a/b:free")],
    ),
    # a gateway, costs of zero, the model chosen under "models"
    "costs": Shape(
        '{"providers": {"relay": {"name": "Relay", "type": "openai-compat",\n'
        f'"base_url": "{LOCAL}", "api_key": "sk-local", "models": [{{"id": "a"}},\n'
        '{"id": "b:q6", "cost_per_1m_in": 0, "context_window": 204800, "can_reason": true}]}},\n'
        '"models": {"large": {"model": "b:q6", "provider": "relay"}}}',
        [("relay", LOCAL, None, "b:q6")],
        ("the key sk-local is a placeholder",),
    ),
    # a login, and one without a base URL
    "login": Shape(
        '{"providers": {"github-copilot": {"type": "github-copilot", "models": [{"id": "x"}]},\n'
        '"mine": {"type": "openai-compat", "api_key": "$MINE", "models": []}}}',
        [],
        ("mine: an OpenAI-compatible server without its base URL", "github-copilot"),
    ),
}

LLM = {
    "no version": Shape(
        '- model_id: relay-mistral\n  model_name: mistral\n  api_base: "http://localhost:8000"',
        [("relay-mistral", "http://localhost:8000", None, "mistral")],
    ),
    "key": Shape(
        "# models\n- model_id: deepseek-chat\n  model_name: deepseek-chat\n"
        '  api_base: "https://api.deepseek.com/"\n  api_key_name: deepseek',
        [("deepseek-chat", "https://api.deepseek.com", "DEEPSEEK_API_KEY", "deepseek-chat")],
        ("llm keeps the key 'deepseek' in its keys.json: set DEEPSEEK_API_KEY",),
    ),
    "names": Shape(
        "- model_id: google/gemma\n  model_name: google/gemma\n"
        '  api_base: "http://localhost:11440/v1"\n  api_key_name: "localVLLMModel"\n'
        '  aliases: ["320", gem]',
        [
            (
                "localhost-11440",
                "http://localhost:11440/v1",
                "LOCALVLLMMODEL_API_KEY",
                "google/gemma",
            )
        ],
        aliases=dict.fromkeys(("google/gemma", "320", "gem"), "localhost-11440/google/gemma"),
    ),
    # two names for one model
    "twice": Shape(
        '- {model_id: local, model_name: m, api_base: "http://127.0.1.9:8080", vision: true}\n'
        "- {model_id: local-tools, model_name: m, api_base: 'http://127.0.1.9:8080',\n"
        "   supports_tools: true, can_stream: false}\n",
        [("host-127-0-1-9-8080", "http://127.0.1.9:8080", None, "m")],
        aliases={"local": "host-127-0-1-9-8080/m", "local-tools": "host-127-0-1-9-8080/m"},
    ),
    # no key is named: llm would send OpenAI's
    "openai's key": Shape(
        "- api_base: https://api.cloud.example/v1/\n  model_id: env\n  model_name: v3-0324\n",
        [("env", "https://api.cloud.example/v1", None, "v3-0324")],
    ),
    "headers": Shape(
        "- model_id: routed\n  model_name: a/b\n  api_base: https://openrouter.ai/api/v1\n"
        "  api_key_name: openrouter\n  headers: {HTTP-Referer: 'https://me.example'}\n",
        [("routed", "https://openrouter.ai/api/v1", "OPENROUTER_API_KEY", "a/b")],
    ),
}

KINDS = {"opencode": OPENCODE, "aichat": AICHAT, "continue": CONTINUE, "crush": CRUSH, "llm": LLM}
SHAPES = [
    pytest.param(shape, id=f"{kind}-{name}")
    for kind, shapes in KINDS.items()
    for name, shape in shapes.items()
]

ENVIRON = {"UPSTREAM_URL": "https://upstream.example/v1"}


def report(plan: Import) -> str:
    return "\n".join([*plan.notes, *plan.left_out])


@pytest.mark.parametrize("shape", SHAPES)
def test_a_shape_of_a_public_file(shape: Shape) -> None:
    Path("source").write_text(shape.text)
    plan = plan_import("source", environ=ENVIRON, compatible=shape.compatible)
    rows = [(p.name, p.base_url, p.api_key_env, p.default_model) for p in plan.providers]
    assert rows == shape.providers
    for words in shape.said:
        assert words in report(plan)
    aliases = plan.sections.get("router_settings", {}).get("model_group_alias", {})
    assert dict(aliases) == shape.aliases
    assert "canary" not in report(plan)


def test_there_are_five_of_each_kind() -> None:
    assert all(len(shapes) >= 5 for shapes in KINDS.values())


def test_headers_from_variables_are_written_as_references() -> None:
    for shape, header, value in (
        (CONTINUE["secrets"], "Cf-Access-Client-Secret", "$CF_SECRET"),
        (OPENCODE["headers"], "X-Team", "$TEAM"),
    ):
        Path("source").write_text(shape.text)
        plan = plan_import("source", environ=ENVIRON)
        extras = dict(plan.providers[0].extras)
        assert extras["extra_headers"][header] == value
        assert "X-Pass" not in extras["extra_headers"]
