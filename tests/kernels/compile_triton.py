"""Compile the Triton kernels for a GPU that need not be there: `python -m ... ARCH`.

A script of its own: in the process of the tests they are interpreted. Prints what was compiled.
"""

import sys

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from prune.kernels.triton import code

NUMBERS = {"fp32": "tf32x3", "bf16": "tf32", "fp16": "tf32"}
SIDES = {"DEPTH": 32, "SIZE": 64, "DEPTH_PIECE": 32, "SIZE_PIECE": 64, "TOKENS": 64}
LISTS = {"start", "other", "order", "row_of", "column_of"}
FLOATS = {"x", "values", "bias", "y", "grad"}


def source(kernel: triton.JITFunction, dtype: str) -> ASTSource:
    constants = {
        **SIDES,
        "ORDERED": True,
        "BIASED": True,
        "PRECISION": NUMBERS[dtype],
        "WIDEN": False,
        "STAGES": 3,
    }
    signature = {}
    for name in kernel.arg_names:
        if name in constants:
            signature[name] = "constexpr"
        elif name in FLOATS:
            signature[name] = f"*{dtype}"
        else:
            signature[name] = "*i32" if name in LISTS else "*fp32" if name == "out" else "i32"
    return ASTSource(kernel, signature, {k: v for k, v in constants.items() if k in signature})


def main(arch: int) -> None:
    for kernel in (code.product, code.sampled):
        for dtype in NUMBERS:
            made = triton.compile(source(kernel, dtype), target=GPUTarget("cuda", arch, 32))
            tensor_core = "wgmma" if "wgmma" in made.asm["ptx"] else "mma"
            assert f"{tensor_core}." in made.asm["ptx"], "no tensor core is used"
            print(kernel.__name__, dtype, f"sm_{arch}", tensor_core, len(made.asm["cubin"]))


if __name__ == "__main__":
    main(int(sys.argv[1]))
