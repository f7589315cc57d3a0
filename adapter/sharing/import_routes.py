"""Which provider and model each ``model_name`` of a LiteLLM ``config.yaml`` leads to now."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from adapter.secrets.secret import Secret
from adapter.sharing.config_yaml import Place
from adapter.sharing.deployments import Deployment
from adapter.sharing.import_settings import Report

__all__ = ["ImportedProvider", "find_routes", "with_fallbacks"]


class ImportedProvider(NamedTuple):
    """A provider to write. ``literal`` is a key that stood in the file itself.

    ``default_model`` may be ``None`` where the file names none.
    """

    name: str
    base_url: str
    api_key_env: str | None
    default_model: str | None
    extras: Mapping[str, Any]
    secret_extras: Mapping[str, Any]
    literal: Secret | None

    def __repr__(self) -> str:
        return f"ImportedProvider({self.name!r}, {self.base_url!r})"


def find_routes(
    found: Sequence[tuple[Place, Deployment, ImportedProvider]], report: Report
) -> tuple[dict[str, str], dict[str, str]]:
    """Return what to type for each ``model_name``, and the aliases that a gateway needs."""
    routes: dict[str, str] = {}
    aliases: dict[str, str] = {}
    shared: dict[str, list[str]] = {}
    wild = {d.wildcard for _, d, provider in found if d.wildcard == provider.name}
    for place, d, provider in found:
        elsewhere = d.wildcard is not None and d.wildcard != provider.name
        if d.pattern or (elsewhere and d.wildcard not in wild):
            typed = f"{provider.name}/{'MODEL' if d.model == '*' else d.model}"
            report.left_out.append(f"{place}: {d.name}: a pattern of names; use {typed}")
            continue
        own = d.name == provider.name and d.model == provider.default_model
        model = "MODEL" if d.wildcard else d.model
        typed = provider.name if own else f"{provider.name}/{model}"
        shared.setdefault(d.name, []).append(typed)
        if d.name in routes or elsewhere:
            continue
        routes[d.name] = typed
        if d.name != typed and not d.wildcard:
            aliases[d.name] = typed
    _tell_shared(shared, routes, report)
    return routes, aliases


def _tell_shared(
    shared: Mapping[str, Iterable[str]], routes: Mapping[str, str], report: Report
) -> None:
    for name, all_typed in shared.items():
        distinct = list(dict.fromkeys(all_typed))
        if len(distinct) > 1:
            report.left_out.append(
                f"{name}: load balancing over {', '.join(distinct)}; it goes to {routes[name]}"
            )


def with_fallbacks(
    provider: ImportedProvider, routes: Mapping[str, str], report: Report
) -> ImportedProvider:
    """Return ``provider`` with the models that its fallbacks name called as they are called now."""
    extras = dict(provider.extras)
    if isinstance(given := extras.get("fallbacks"), list):
        extras["fallbacks"] = [_typed(item, routes) for item in given]
        for name in given:
            if isinstance(name, str) and name not in routes:
                report.notes.append(
                    f"fallbacks of provider {provider.name!r} name {name!r}, which the file lacks"
                )
    if isinstance(table := extras.get("context_window_fallback_dict"), Mapping):
        extras["context_window_fallback_dict"] = {
            _typed(k, routes): _typed(v, routes) for k, v in table.items()
        }
    return provider._replace(extras=extras)


def _typed(item: Any, routes: Mapping[str, str]) -> Any:
    if isinstance(item, Mapping) and isinstance(item.get("model"), str):
        return {**item, "model": _typed(item["model"], routes)}
    return routes.get(item, item) if isinstance(item, str) else item
