"""Emits the transposition of each block, ahead of the input gradient; torch takes several times as
long over it.
"""

from prune.kernels.llvm.spec import Spec
from prune.kernels.llvm.text import kinds
from prune.kernels.llvm.work import arguments, check, entry, openmp, team

ARGUMENTS = kinds("ptr source, ptr target, i64 blocks")
TOGETHER = 8  # numbers moved in one turn of the innermost loop


def module(spec: Spec) -> str:
    """The IR of `check`, `work` and `team`: (blocks, depth, size) -> (blocks, size, depth)."""
    return "\n".join([openmp(), check(), _work(spec), team()])


def _work(spec: Spec) -> str:
    f = entry()
    a = arguments(f, ARGUMENTS)
    kind = "i16" if spec.bf16 else "i32"
    with f.loop("%thread", a["blocks"], "%threads") as block:
        offset = f.mul(block, spec.depth * spec.size * spec.item)
        source, target = f.at(a["source"], offset), f.at(a["target"], offset)
        with f.loop(0, spec.size) as row, f.loop(0, spec.depth, TOGETHER) as column:
            read = f.at(source, f.mul(row, spec.item), f.mul(column, spec.size * spec.item))
            write = f.at(target, f.mul(column, spec.item), f.mul(row, spec.depth * spec.item))
            for i in range(TOGETHER):
                value = f.load(kind, f.at(read, i * spec.size * spec.item), spec.item)
                f.store(kind, value, f.at(write, i * spec.item), spec.item)
    return f.text()
