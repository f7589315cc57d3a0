"""Python runs this at its start where ``adapter run --install`` put it on the path.

``adapter.install()`` is done when the program imports LiteLLM, so that others start as quickly as
ever. A ``sitecustomize`` of the machine's own is run, too.
"""

from __future__ import annotations

import importlib.machinery
import importlib.util
import os
import sys
from types import ModuleType
from typing import Any

__all__: list[str] = []


class _Finder:
    """Finds ``litellm`` as Python does, and installs once it is imported."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        if name != "litellm":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.loader is not None:
            loader: Any = spec.loader
            execute = loader.exec_module

            def exec_module(module: ModuleType) -> None:
                os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
                execute(module)
                _install()

            loader.exec_module = exec_module
        return spec


def _install() -> None:
    try:
        import adapter
    except ImportError:
        sys.stderr.write(
            f"adapter run --install: {sys.executable} has no gptme-litellm, so its LiteLLM stays "
            f"as it is: {sys.executable} -m pip install gptme-litellm\n"
        )
        return
    adapter.install()


def _run_next() -> None:
    """Run the ``sitecustomize`` that this one stands before."""
    here = os.path.dirname(os.path.abspath(__file__))
    others = [p for p in sys.path if os.path.abspath(p) != here]
    spec = importlib.machinery.PathFinder.find_spec("sitecustomize", others)
    if spec is not None and spec.loader is not None:
        spec.loader.exec_module(importlib.util.module_from_spec(spec))


sys.meta_path.insert(0, _Finder())
_run_next()
