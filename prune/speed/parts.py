"""Where the time of a pass goes: clocks around the attentions and FFNs of a network.

On a GPU the clocks are CUDA events, read when the pass is over, so nothing waits for them.
"""

import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from prune.masks import structure
from prune.masks.layout import matrix
from prune.masks.structure import Attention, Ffn

Spans = Mapping[str, float]  # module -> seconds inside of it
Marks = dict[str, list[tuple[Any, Any]]]  # module -> before and after each of its calls


@dataclass(frozen=True)
class Part:
    """One attention or FFN: the modules that are matrix products, and the rest of its work."""

    layer: str  # the module of the layer that it is in, as `encoder.layer.3`
    kind: str  # "attention" or "ffn"
    products: tuple[str, ...]
    rest: str  # the attention's core, which may hold some of the products; or the activation
    units: int  # heads or neurons that are left
    query: str = ""  # of an attention: the products that its scores are made of
    key: str = ""
    width: int = 0  # heads * head size

    def product_s(self, spans: Spans) -> float:
        return sum(spans[name] for name in self.products)

    def rest_s(self, spans: Spans) -> float:
        inside = [name for name in self.products if name.startswith(f"{self.rest}.")]
        return spans[self.rest] - sum(spans[name] for name in inside)


def seconds(parts: Iterable[Part], spans: Spans) -> float:
    return sum(part.product_s(spans) + part.rest_s(spans) for part in parts)


def parts_of(model: nn.Module) -> list[Part]:
    """The parts of a dense or shrunk network. Raises PolicyError without a table for it."""
    found, live = structure.known(model), {n for n, m in model.named_modules() if _is_product(m)}
    layers: list[Attention | Ffn] = [*found.attention, *found.ffn]
    return [_part(model, layer, live) for layer in layers]


def _part(model: nn.Module, layer: Attention | Ffn, live: set[str]) -> Part:
    left = units(model, layer)
    if isinstance(layer, Attention):
        names = [n for n in dict.fromkeys((*layer.rows, layer.output)) if n in live]
        scores = (layer.query, layer.key, left * layer.head_size) if left else ("", "", 0)
        return Part(layer_of(layer.name), "attention", tuple(names), layer.core, left, *scores)
    names = [n for n in dict.fromkeys((*layer.rows, layer.outer)) if n in live]
    return Part(layer_of(layer.name), "ffn", tuple(names), layer.activation, left)


def units(model: nn.Module, layer: Attention | Ffn) -> int:
    """Heads or neurons that are left of a layer."""
    if not structure.has(model, layer):
        return 0
    module = model.get_submodule(layer.rows[0])
    assert isinstance(module.weight, Tensor)
    rows = matrix(module, module.weight).shape[0] // structure.fused(layer.rows, layer.rows[0])
    return rows // layer.head_size if isinstance(layer, Attention) else rows


def layer_of(name: str) -> str:
    """The name up to its first number: `bert.encoder.layer.3` of all that is inside of it."""
    found = re.match(r"(?:[^.]+\.)*?\d+(?=\.|$)", name)
    return found[0] if found else name


def clocked(model: nn.Module, names: Sequence[str], call: Callable[[], object]) -> dict[str, float]:
    """Seconds inside of each module during `call`; under "" of the whole call."""
    device = next(model.parameters()).device
    marks: Marks = {"": [], **{name: [] for name in names}}
    with _hooked(model, names, marks, device):
        begin = _now(device)
        call()
        marks[""].append((begin, _now(device)))
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return {name: sum(_between(*pair) for pair in pairs) for name, pairs in marks.items()}


def operations(model: nn.Module, parts: Sequence[Part], call: Callable[[], object]) -> list[float]:
    """Multiplications and additions of each part during `call`: its products and its scores."""
    sizes: dict[str, list[torch.Size]] = {name: [] for part in parts for name in part.products}

    def note(name: str) -> Callable[..., None]:
        return lambda module, inputs, output: sizes[name].append(output.shape)

    hooks = [model.get_submodule(n).register_forward_hook(note(n)) for n in sizes]
    try:
        call()
    finally:
        for hook in hooks:
            hook.remove()
    return [_operations(model, part, sizes) for part in parts]


def _operations(model: nn.Module, part: Part, sizes: Mapping[str, Sequence[torch.Size]]) -> float:
    total = 0.0
    for name in part.products:
        weight = model.get_submodule(name).weight
        assert isinstance(weight, Tensor)
        total += 2.0 * weight.numel() * sum(_tokens(size) for size in sizes[name])
    if part.query:  # the scores, and the sum over the values
        keys = sizes[part.key]
        for call, size in enumerate(sizes[part.query]):
            total += 4.0 * _tokens(size) * part.width * keys[min(call, len(keys) - 1)][-2]
    return total


def _tokens(size: torch.Size) -> int:
    """Of an output (batch, length, width)."""
    return size[:-1].numel()


def _is_product(module: nn.Module) -> bool:
    weight = getattr(module, "weight", None)
    return isinstance(weight, Tensor) and weight.ndim == 2 and weight.numel() > 0


@contextmanager
def _hooked(
    model: nn.Module, names: Sequence[str], marks: Marks, device: torch.device
) -> Iterator[None]:
    hooks = []
    begun: dict[str, Any] = {}

    def before(name: str) -> Callable[..., None]:
        def hook(*_: object) -> None:
            begun[name] = _now(device)

        return hook

    def after(name: str) -> Callable[..., None]:
        def hook(*_: object) -> None:
            marks[name].append((begun[name], _now(device)))

        return hook

    for name in dict.fromkeys(names):
        module = model.get_submodule(name)
        hooks += [module.register_forward_pre_hook(before(name))]
        hooks += [module.register_forward_hook(after(name))]
    try:
        yield
    finally:
        for one in hooks:
            one.remove()


def _now(device: torch.device) -> Any:
    if device.type != "cuda":
        return time.perf_counter()
    event: Any = torch.cuda.Event
    mark = event(enable_timing=True)
    mark.record(torch.cuda.current_stream(device))
    return mark


def _between(before: Any, after: Any) -> float:
    """Seconds; of CUDA events, which both have to be over."""
    if isinstance(before, float):
        return float(after - before)
    return float(before.elapsed_time(after)) / 1e3
