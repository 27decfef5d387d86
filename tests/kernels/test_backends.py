"""Each backend against the dense product in float64; which one serves, and which is chosen."""

import itertools
import math
import warnings

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from prune.errors import KernelError
from prune.kernels import BlockSparseLinear, backends
from prune.kernels.llvm import machine
from prune.kernels.llvm.machine import Machine
from tests.kernels.blocks import PATTERNS, assert_right, problem

CPU = [name for name in ("reference", "rows", "llvm") if backends.installed(name)]
DTYPES = [torch.float32, torch.bfloat16]
SIDES = [16, 32, 48, 64]
# A shape is compiled in a fifth of a second a kernel, so the wide sweep draws from few.
SIZES = [(16, 16), (32, 32), (64, 64), (48, 16)]


def test_llvm_is_tested() -> None:
    if "llvm" not in CPU:
        pytest.skip("the llvm backend needs llvmlite: pip install 'prune[cpu]'")
    assert not backends.refusal("llvm", "cpu", torch.float32, (32, 32))


@pytest.mark.parametrize("name", CPU)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("pattern", PATTERNS)
def test_patterns(name: str, dtype: torch.dtype, pattern: str) -> None:
    assert_right(backends.load(name), problem(37, dtype=dtype, pattern=pattern))


@given(
    name=st.sampled_from(CPU),
    tokens=st.integers(0, 200),
    grid=st.tuples(st.integers(1, 6), st.integers(1, 6)),
    size=st.sampled_from(SIZES),
    dtype=st.sampled_from(DTYPES),
    pattern=st.sampled_from(sorted(PATTERNS)),
    bias=st.booleans(),
    gap=st.integers(0, 9),
    seed=st.integers(0, 999),
    across=st.booleans(),
)
@settings(max_examples=150, deadline=None)
def test_any_shape_pattern_and_stride(
    name: str,
    tokens: int,
    grid: tuple[int, int],
    size: tuple[int, int],
    dtype: torch.dtype,
    pattern: str,
    bias: bool,
    gap: int,
    seed: int,
    across: bool,
) -> None:
    made = problem(tokens, grid, size, dtype, pattern, bias, gap, seed, across)
    assert_right(backends.load(name), made)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("size", [(16, 48), (16, 64), (32, 64), (64, 16), (80, 32)], ids=str)
@pytest.mark.parametrize("name", CPU)
def test_sides_of_any_multiples_of_16(name: str, size: tuple[int, int], dtype: torch.dtype) -> None:
    assert_right(backends.load(name), problem(29, (3, 2), size, dtype))


@pytest.mark.parametrize("size", [(1, 1), (8, 24)], ids=str)
@pytest.mark.parametrize("name", ["reference", "rows"])
def test_plain_torch_has_any_block(name: str, size: tuple[int, int]) -> None:
    assert_right(backends.load(name), problem(9, size=size))


def test_auto_takes_a_kernel_below_its_tie_and_a_dense_product_above() -> None:
    for dtype, side in itertools.product(DTYPES, SIDES):
        size = (side, side)
        best = backends.fastest("cpu", dtype, size)
        tie = backends.tie(best, dtype, size)
        assert 0 <= tie <= 1 or tie == math.inf
        assert backends.worth_it("cpu", dtype, size, 1.0) == (tie == math.inf)
        if 0 < tie <= 1:
            assert backends.worth_it("cpu", dtype, size, tie / 2)
            assert backends.choose("auto", "cpu", dtype, size, tie / 2) == best
    assert backends.choose("rows", "cpu", torch.float32, (32, 32), 1.0) == "rows"
    assert backends.fastest("cpu", torch.float64, (32, 32)) == "rows"
    assert backends.choose("auto", "mps", torch.float32, (32, 32), 0.1) == "reference"


def test_bf16_is_always_sparse_where_torch_has_no_product_of_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its plain loop takes several times as long as a kernel that multiplies every block."""
    pytest.importorskip("llvmlite")
    for there, tie in ((False, math.inf), (True, 0.85)):
        monkeypatch.setattr(backends, "_multiplies_bf16", lambda there=there: there)
        monkeypatch.setattr(machine, "host", lambda: Machine(8, False))
        assert backends.tie("llvm", torch.bfloat16, (32, 32)) == tie
    monkeypatch.setattr(machine, "host", lambda: Machine(16, True, amx=True))
    assert backends.tie("llvm", torch.bfloat16, (32, 32)) == 0.07
    assert backends.tie("llvm", torch.float32, (32, 32)) == 0.9


def test_a_processor_without_vectors_takes_rows_and_says_so_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("llvmlite")
    monkeypatch.setattr(machine, "host", lambda: Machine(4, False))
    known = (backends._vectors, backends.fastest, backends.choose)
    for cached in known:
        cached.cache_clear()
    try:
        with pytest.warns(RuntimeWarning, match="neither AVX-512 nor AVX2.*rows") as said:
            for side in (16, 32, 64):
                assert backends.fastest("cpu", torch.float32, (side, side)) == "rows"
        assert len(said) == 1
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            layer = BlockSparseLinear(64, 64, density=0.25)
            assert layer(torch.randn(3, 64)).shape == (3, 64)
    finally:
        for cached in known:
            cached.cache_clear()


@pytest.mark.parametrize(
    ("name", "device", "dtype", "size", "message"),
    [
        ("llvm", "cpu", torch.float16, (32, 32), r"not float16 \(these serve: auto, reference"),
        ("llvm", "cuda", torch.float32, (32, 32), "works on cpu, not on cuda"),
        ("llvm", "cpu", torch.float32, (8, 8), "multiples of 16, not 8x8.*rows"),
        ("triton", "cpu", torch.float32, (32, 32), "works on cuda, not on cpu"),
        ("row", "cpu", torch.float32, (32, 32), "did you mean rows?"),
    ],
)
def test_what_a_backend_has_not_is_refused_with_those_that_serve(
    name: str, device: str, dtype: torch.dtype, size: tuple[int, int], message: str
) -> None:
    with pytest.raises(KernelError, match=message):
        backends.check(name, device, dtype, size)


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backends, "installed", lambda name: False)
    with pytest.raises(KernelError, match=r"pip install 'prune\[cpu\]'"):
        backends.check("llvm", "cpu", torch.float32, (32, 32))
