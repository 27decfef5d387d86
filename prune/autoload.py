"""`import prune` is all that `from_pretrained` needs to give a pruned model back.

transformers has a registry of what to do before weights are loaded. Our entry is put there when
the registry is imported, at once if it already is: so importing prune loads nothing heavy.
"""

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.machinery import ModuleSpec
from types import ModuleType

REGISTRY, ENTRY = "transformers.quantizers.auto", "prune.artifact.pretrained"


class AfterRegistry:
    """A finder that finds the registry as the others do, and adds the import of our entry."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name != REGISTRY:
            return None
        others = (finder for finder in sys.meta_path if finder is not self)
        found = (finder.find_spec(name, path, target) for finder in others)
        spec = next((spec for spec in found if spec is not None), None)
        if spec is not None and spec.loader is not None:
            run = spec.loader.exec_module

            def run_and_enter(module: ModuleType) -> None:
                run(module)
                import_module(ENTRY)

            spec.loader.exec_module = run_and_enter  # type: ignore[method-assign]
        return spec


def install() -> None:
    """Again is harmless."""
    if REGISTRY in sys.modules:
        import_module(ENTRY)
    elif not any(isinstance(finder, AfterRegistry) for finder in sys.meta_path):
        sys.meta_path.insert(0, AfterRegistry())
