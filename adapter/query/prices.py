"""What a query cost, where LiteLLM knows a price for exactly that model."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from adapter.upstream.prefixes import vendor_names

if TYPE_CHECKING:
    from adapter.call.translation import Target

__all__ = ["cost"]


def cost(model: str, target: Target | None, usage: Mapping[str, Any]) -> float | None:
    """Return the cost in US dollars by LiteLLM's price map, ``None`` where it has no price.

    For a provider of ours only when its base is the vendor's own and the map has that very model:
    the same id on another server has another price, or none. LiteLLM is asked only where it is
    imported already.
    """
    litellm = sys.modules.get("litellm")
    if litellm is None:
        return None
    if target is not None:
        names = vendor_names(str(target.params.get("api_base")), target.model)
        model = next((name for name in names if name in litellm.model_cost), "")
    if model not in litellm.model_cost:
        return None
    try:
        parts = litellm.cost_per_token(
            model=model,
            # all of it: tokens read from a cache, of audio or of an image have other prices
            usage_object=litellm.Usage(**usage),
        )
    except Exception:  # noqa: BLE001 - a model without a price raises what it likes
        return None
    return float(sum(parts))
