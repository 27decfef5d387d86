"""A NoNorm that only linear layers read goes into them: W' = W diag(w), b' = b + W b_norm.

That is exact, and one pass over the activations less. Networks that norm behind the residual (BERT)
read each norm twice, so nothing can be fused there; those that norm before (ViT) can lose most.
"""

from collections.abc import Callable, Sequence
from typing import Any, final

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode
from transformers import PreTrainedModel

from prune.artifact import example
from prune.nonorm import NoNorm, replace

QUESTIONS = ("__get__", "size", "dim", "__len__", "is_floating_point")  # about a tensor's shape


def fuse(model: PreTrainedModel) -> list[str]:
    """Fuse what can be, in place; the names of the norms that became the identity."""
    found = readers(model)
    with torch.no_grad():
        for name, linears in found.items():
            norm = model.get_submodule(name)
            assert isinstance(norm, NoNorm)
            for linear in linears:
                linear.bias.add_(linear.weight @ norm.bias[0])
                linear.weight.mul_(norm.weight)
            replace(model, name, nn.Identity())
    return list(found)


def readers(model: PreTrainedModel) -> dict[str, list[nn.Linear]]:
    """NoNorm -> the linear layers of its own layer that read it, where nothing else does.

    All must have a bias and read nothing else. What leaves its layer, as the last one of an
    encoder, is not touched: it is an output of the model, whatever reads it here.
    """
    if not any(isinstance(module, NoNorm) for module in model.modules()):
        return {}
    training, watch = model.training, _Watch(model)
    with torch.no_grad(), watch:
        model.train(False)(**example.inputs(model))
    model.train(training)
    watch.close()
    return {norm: watch.linears(norm) for norm in watch.read_by if watch.fits(norm)}


@final
class _Watch(TorchFunctionMode):
    """Sees which linear layers read what a NoNorm gave, and whether anything else does."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.read_by: dict[str, set[str]] = {}  # norm -> linear layers; "" for anything else
        self.reads: dict[str, set[str]] = {}  # linear layer -> norms; "" for anything else
        self.outputs: dict[int, tuple[str, Tensor]] = {}  # held, so that an id stays its own
        self.modules = dict(model.named_modules())
        linears = {n: m for n, m in self.modules.items() if isinstance(m, nn.Linear)}
        self.names = {id(linear.weight): name for name, linear in linears.items()}
        norms = [(n, m) for n, m in self.modules.items() if isinstance(m, NoNorm)]
        self.hooks = [m.register_forward_hook(self._remember(n)) for n, m in norms]

    def close(self) -> None:
        for hook in self.hooks:
            hook.remove()

    def fits(self, norm: str) -> bool:
        layer = norm.rpartition(".")[0] + "."
        return bool(self.read_by[norm]) and all(
            name.startswith(layer) and self.modules[name].bias is not None
            and self.reads[name] == {norm}
            for name in self.read_by[norm]
        )  # fmt: skip

    def linears(self, norm: str) -> list[nn.Linear]:
        return [
            m for n in sorted(self.read_by[norm]) if isinstance(m := self.modules[n], nn.Linear)
        ]

    def _remember(self, name: str) -> Callable[..., None]:
        def hook(module: nn.Module, inputs: Any, output: Tensor) -> None:
            self.read_by.setdefault(name, set())
            self.outputs[id(output)] = name, output

        return hook

    def __torch_function__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        reader = self.names.get(id(args[1]), "") if func is functional.linear else ""
        given = [*args, *(kwargs or {}).values()]
        given += [item for group in given if isinstance(group, list | tuple) for item in group]
        if getattr(func, "__name__", "") not in QUESTIONS:
            norms = [self.outputs[id(one)][0] for one in given if id(one) in self.outputs]
            for norm in norms:
                self.read_by[norm].add(reader)
            if reader:
                self.reads.setdefault(reader, set()).update(norms or [""])
        return func(*args, **(kwargs or {}))
