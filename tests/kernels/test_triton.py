"""The Triton kernels: interpreted on tiny shapes, or on the GPU if there is one; and compiled."""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

if find_spec("triton") is None:
    pytest.skip("needs Triton, which comes with torch for CUDA", allow_module_level=True)
if not torch.cuda.is_available():
    if "triton" in sys.modules and os.environ.get("TRITON_INTERPRET") != "1":
        pytest.skip("Triton was imported before: run this file alone", allow_module_level=True)
    os.environ["TRITON_INTERPRET"] = "1"  # before Triton is first imported

from prune.errors import KernelError
from prune.kernels import triton as backend
from tests.kernels.blocks import PATTERNS, Problem, assert_right, problem

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
DTYPES = [torch.float32, torch.bfloat16, torch.float16]


def put(made: Problem) -> Problem:
    made.layout = type(made.layout)(
        made.layout.index.to(DEVICE), made.layout.rows, made.layout.columns
    )
    made.x, made.grad, made.values = (t.to(DEVICE) for t in (made.x, made.grad, made.values))
    made.bias = made.bias.to(DEVICE) if made.bias is not None else None
    return made


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("size", [(16, 16), (32, 64), (48, 16)], ids=str)
def test_sizes_and_types(size: tuple[int, int], dtype: torch.dtype) -> None:
    assert_right(backend, put(problem(37, (3, 2), size, dtype, gap=5)))


@pytest.mark.parametrize("pattern", PATTERNS)
def test_patterns(pattern: str) -> None:
    assert_right(backend, put(problem(20, (3, 4), (16, 16), pattern=pattern, bias=False)))


@pytest.mark.parametrize("tokens", [0, 1, 16, 17, 129, 600])
def test_tokens(tokens: int) -> None:
    assert_right(backend, put(problem(tokens, (2, 2), (16, 32))))


def test_no_shape_is_trusted() -> None:
    made = put(problem(5, (2, 2)))
    with pytest.raises(KernelError, match=r"not \(tokens, 64\)"):
        backend.product(made.x[:, 1:], made.values, None, made.layout)
    with pytest.raises(KernelError, match="tokens are not the same"):
        backend.sampled(made.grad[1:], made.x, made.size, made.layout)


@pytest.mark.slow
@pytest.mark.parametrize("arch", [80, 90])
def test_they_compile_for_gpus_that_are_not_here(arch: int) -> None:
    command = [sys.executable, "-m", "tests.kernels.compile_triton", str(arch)]
    environment = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"}
    root = Path(__file__).parents[2]
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == 6, done.stdout
    if arch == 90:
        assert all("wgmma" in line for line in lines if "product" in line), done.stdout
