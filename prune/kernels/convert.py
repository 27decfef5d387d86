"""A model's linear layers made block-sparse: which is a plan, made first, that changes nothing.

Blocks are those that suit a layer's zeros, unless a size is asked for. A layer is left dense, and
the plan says why, where blocks do not divide it, where it shares its weight with another module, or
where a dense product is as fast at its density.
"""

import copy
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from torch import nn

from prune.errors import PolicyError
from prune.kernels import backends
from prune.kernels.layout import Layout
from prune.kernels.pattern import Size, live_blocks, suiting
from prune.kernels.sparse_linear import BlockSparseLinear

Model = TypeVar("Model", bound=nn.Module)


@dataclass(frozen=True)
class Choice:
    """What becomes of one linear layer."""

    names: tuple[str, ...]  # all the paths it has in the model
    block: Size | None  # (height, width); None where no blocks divide it
    density: float  # share of its blocks that live; 1 where there are no blocks
    backend: str  # that serves it
    dense: str  # why it stays dense; empty: it becomes block-sparse


def plan(
    model: nn.Module,
    pattern: str = ".*",
    block: Sequence[int] | None = None,
    backend: str = backends.AUTO,
) -> list[Choice]:
    """What `convert` would do to each `nn.Linear` whose whole name matches `pattern`.

    block: (height, width); None: for each layer what suits it. Raises PolicyError if nothing
    matches, KernelError if `backend` cannot.
    """
    size = (block[0], block[1]) if block else None
    choices = []
    for names, linear in _linears(model).items():
        if any(re.fullmatch(pattern, name) for name in names):
            choices.append(_choice(model, names, linear, size, backend))
    if not choices:
        known = ", ".join(names[0] for names in list(_linears(model))[:5])
        raise PolicyError(
            f"no linear layer's name matches {pattern!r} as a whole (there are: {known}, ...)"
        )
    return choices


def convert(
    model: Model,
    pattern: str = ".*",
    block: Sequence[int] | None = None,
    backend: str = backends.AUTO,
) -> Model:
    """A copy of `model` in which `plan`'s layers hold and multiply their live blocks only."""
    choices = plan(model, pattern, block, backend)
    sparse = copy.deepcopy(model)
    for choice in choices:
        if choice.block and not choice.dense:
            linear = sparse.get_submodule(choice.names[0])
            assert isinstance(linear, nn.Linear)
            made = BlockSparseLinear.from_linear(linear, choice.block, backend)
            _put(sparse, choice.names, made)
    return sparse


def restore(model: Model) -> Model:
    """The inverse of `convert`: a copy of `model` with dense layers, zeros between the blocks."""
    dense = copy.deepcopy(model)
    for names, layer in _named(dense, BlockSparseLinear).items():
        _put(dense, names, layer.to_linear())
    return dense


def _choice(
    model: nn.Module, names: tuple[str, ...], linear: nn.Linear, asked: Size | None, backend: str
) -> Choice:
    weight = linear.weight.detach()
    out, of = weight.shape
    size = asked or suiting(weight)
    if size is None or out % size[0] or of % size[1] or not weight.numel():
        blocks = f"{asked[0]}x{asked[1]} does" if asked else "blocks of 16 do"
        return Choice(names, None, 1.0, "", f"{blocks} not divide {out}x{of}")
    layout = Layout.of(live_blocks(weight != 0, size))
    owners = [m for m in model.modules() if any(p is linear.weight for p in _own(m))]
    if len(owners) > 1:
        return Choice(names, size, layout.density, "", "another module has the same weight")
    kind = weight.device.type, weight.dtype, size
    name = backends.choose(backend, *kind, layout.density)
    dense = backend == backends.AUTO and not backends.worth_it(*kind, layout.density)
    why = "a dense product is as fast" if dense else ""
    return Choice(names, size, layout.density, name, why)


def _own(module: nn.Module) -> Iterator[nn.Parameter]:
    return module.parameters(recurse=False)


def _linears(model: nn.Module) -> dict[tuple[str, ...], nn.Linear]:
    return _named(model, nn.Linear)


Kind = TypeVar("Kind", bound=nn.Module)


def _named(model: nn.Module, kind: type[Kind]) -> dict[tuple[str, ...], Kind]:
    """Each module of exactly this kind once, under all its names."""
    names: dict[int, list[str]] = {}
    modules: dict[int, Kind] = {}
    for name, module in model.named_modules(remove_duplicate=False):
        if type(module) is kind and name:
            names.setdefault(id(module), []).append(name)
            modules[id(module)] = module
    return {tuple(names[key]): module for key, module in modules.items()}


def _put(model: nn.Module, names: Sequence[str], module: nn.Module) -> None:
    for name in names:
        parent, _, own = name.rpartition(".")
        setattr(model.get_submodule(parent), own, module)
