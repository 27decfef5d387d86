"""The llvm backend where it could go wrong: tails, threads, other processors, bad pointers."""

import itertools
import re
import threading
import time

import pytest
import torch
from torch import Tensor

from prune.errors import KernelError
from prune.kernels.layout import Layout

pytest.importorskip("llvmlite", reason="the llvm backend needs llvmlite: pip install 'prune[cpu]'")

from prune.kernels import backends, llvm
from prune.kernels.llvm import call, machine, product_ir, sampled_ir
from prune.kernels.llvm.code import team_size
from prune.kernels.llvm.machine import Machine, host
from prune.kernels.llvm.spec import Spec
from tests.kernels.blocks import Problem, assert_right, problem

GUARD = 4096  # bytes on either side of each buffer
PAINT = 0xFF  # NaN in every type: it shows in what is written there, and in sums of what is read


class Guards:
    """Buffers between two painted strips; all that a kernel reads or writes."""

    def __init__(self) -> None:
        self.whole: list[Tensor] = []

    def empty(self, *shape: int, dtype: torch.dtype) -> Tensor:
        count = torch.Size(shape).numel() * dtype.itemsize
        whole = torch.full((count + 2 * GUARD,), PAINT, dtype=torch.uint8)
        self.whole.append(whole)
        return whole[GUARD : GUARD + count].view(dtype).view(shape)

    def copy(self, x: Tensor) -> Tensor:
        return self.empty(*x.shape, dtype=x.dtype).copy_(x)

    def check(self) -> None:
        for whole in self.whole:
            assert (whole[:GUARD] == PAINT).all() and (whole[-GUARD:] == PAINT).all()


@pytest.fixture
def guards(monkeypatch: pytest.MonkeyPatch) -> Guards:
    made = Guards()
    monkeypatch.setattr(call, "empty", made.empty)
    monkeypatch.setattr(call, "_kept", threading.local())
    return made


class On:
    """The backend as if on another processor."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine

    def product(self, x: Tensor, values: Tensor, bias: Tensor | None, layout: Layout) -> Tensor:
        return llvm.product(x, values, bias, layout, self.machine)

    def transposed(self, grad: Tensor, values: Tensor, layout: Layout) -> Tensor:
        return llvm.transposed(grad, values, layout, self.machine)

    def sampled(self, grad: Tensor, x: Tensor, size: tuple[int, int], layout: Layout) -> Tensor:
        return llvm.sampled(grad, x, size, layout, self.machine)


def guarded(made: Problem, guards: Guards) -> Problem:
    index = guards.copy(made.layout.index)
    return Problem(
        x=guards.copy(made.x),
        values=guards.copy(made.values),
        bias=guards.copy(made.bias) if made.bias is not None else None,
        grad=guards.copy(made.grad),
        layout=Layout(index, made.layout.rows, made.layout.columns),
    )


@pytest.mark.parametrize("dtype", call.DTYPES, ids=str)
def test_no_tail_leaves_its_buffer(dtype: torch.dtype, threads: int, guards: Guards) -> None:
    """Every number of tokens from none to three tiles, and to three chunks now and then."""
    spec = Spec(32, 32, dtype == torch.bfloat16, host())
    tile, columns = product_ir.tiles(spec)[0], 5 * spec.span  # so a row has two spans or three
    for tokens in [*range(3 * tile + 1), 95, 97, 3 * call.CHUNK + 1]:
        made = guarded(problem(tokens, (2, columns), dtype=dtype, seed=tokens), guards)
        assert_right(backends.load("llvm"), made)
        guards.check()
        guards.whole.clear()
        call._kept.__dict__.clear()  # the scratch is guarded anew, at its exact size


def machines() -> list[Machine]:
    """What this processor can pretend to be."""
    lanes = [n for n in (16, 8, 4) if n <= host().lanes]
    return [host().narrow(n) for n in lanes]


@pytest.mark.parametrize("dtype", call.DTYPES, ids=str)
@pytest.mark.parametrize("size", [(32, 32)], ids=str)
@pytest.mark.parametrize("like", machines(), ids=lambda m: f"{m.lanes} lanes")
def test_narrower_processors(
    like: Machine, size: tuple[int, int], dtype: torch.dtype, guards: Guards
) -> None:
    for tokens in (1, 7, 25):
        assert_right(On(like), guarded(problem(tokens, (2, 40), size, dtype), guards))
    guards.check()


PROCESSORS = {
    "znver4": Machine(16, True),
    "skylake-avx512": Machine(16, False),
    "haswell": Machine(8, False),
}


@pytest.mark.parametrize("size", [(32, 32), (16, 16), (64, 64), (48, 16)], ids=str)
@pytest.mark.parametrize("bf16", [False, True], ids=["fp32", "bf16"])
@pytest.mark.parametrize("name", PROCESSORS)
def test_sums_stay_in_the_registers_of_processors_that_are_not_here(
    name: str, bf16: bool, size: tuple[int, int]
) -> None:
    """The widest vectors there are, bf16 products where there are such, and none on the stack."""
    import llvmlite.binding as llvm_binding

    host()  # initialises LLVM
    made_for = llvm_binding.Target.from_triple("x86_64-unknown-linux-gnu").create_target_machine(
        cpu=name, features=machine.WIDE, opt=2, jit=True
    )
    like = PROCESSORS[name]
    for source in (product_ir, sampled_ir):
        module = llvm_binding.parse_assembly(source.module(Spec(*size, bf16, like)))
        machine.optimize(module, made_for)
        code = str(made_for.emit_assembly(module))
        register = "zmm" if like.lanes == 16 else "ymm"
        product = "vdpbf16ps" if bf16 and like.dot else r"vfmadd\w+"
        assert len(re.findall(rf"{product}\s.*{register}", code)) >= 8
        assert not re.search(rf"\(%rsp\), %{register}|%{register}\d+, -?\d*\(%rsp\)", code)


def test_features_a_machine_is_without_are_not_used() -> None:
    import llvmlite.binding as llvm_binding

    if host().lanes < 8:
        pytest.skip("has no AVX2, which is the least that can be switched off")
    for lanes, there in ((8, "ymm"), (4, "xmm")):
        made_for = machine.target(host().narrow(lanes))
        spec = Spec(32, 32, False, host().narrow(lanes))
        module = llvm_binding.parse_assembly(product_ir.module(spec))
        machine.optimize(module, made_for)
        code = str(made_for.emit_assembly(module))
        assert there in code and {"ymm": "zmm", "xmm": "ymm"}[there] not in code


def test_features_choose_the_width() -> None:
    avx512 = dict.fromkeys(["avx512f", "avx512bw", "avx512vl", "avx2", "fma"], True)
    assert Machine.of(avx512 | {"avx512bf16": True}) == Machine(16, True)
    assert Machine.of(avx512) == Machine(16, False)
    assert Machine.of({"avx2": True, "fma": True, "avx512f": True}) == Machine(8, False)
    assert Machine.of({}) == Machine(4, False)
    assert Machine.of(avx512 | {"amx-bf16": True}).amx


def test_rounding_by_hand_is_that_of_torch() -> None:
    """bf16 results without the instruction: to the nearest, even of two; NaN stays NaN."""
    pattern = torch.ones(1, 1, dtype=torch.bool)
    values = torch.eye(16)[None].bfloat16()
    bias = torch.cat([torch.tensor([torch.nan, torch.inf, -torch.inf]), torch.randn(13)])
    x = torch.randn(64, 16).bfloat16()
    found = llvm.product(x, values, bias.bfloat16(), Layout.of(pattern), host().narrow(4))
    right = (x.float() + bias.bfloat16().float()).bfloat16()
    assert torch.equal(found.nan_to_num(7), right.nan_to_num(7))
    assert torch.equal(found.isnan(), right.isnan())


@pytest.mark.parametrize("place", range(7))
def test_no_index_is_trusted(place: int) -> None:
    made = problem(5, (2, 2), pattern="full")
    for value in (-1, 99, -(2**31), 2**31 - 1):
        index = made.layout.index.clone()
        index[place] = value
        layout = Layout(index, 2, 2)
        with pytest.raises(KernelError, match="points outside"):
            llvm.product(made.x, made.values, made.bias, layout)
        with pytest.raises(KernelError, match="points outside"):
            llvm.sampled(made.grad, made.x, made.size, layout)


@pytest.mark.parametrize("place", range(7, 18))
def test_no_transposed_index_is_trusted(place: int) -> None:
    made = problem(5, (2, 2), pattern="full")
    index = made.layout.index.clone()
    index[place] = 99
    with pytest.raises(KernelError, match="points outside"):
        llvm.transposed(made.grad, made.values, Layout(index, 2, 2))


def test_no_shape_is_trusted() -> None:
    made = problem(5, (2, 2), pattern="full")
    wrong = [
        lambda: llvm.product(made.x[:, :-1], made.values, None, made.layout),
        lambda: llvm.product(made.x.bfloat16(), made.values, None, made.layout),
        lambda: llvm.product(made.x, made.values, torch.zeros(63), made.layout),
        lambda: llvm.product(made.x, made.values[1:], None, made.layout),
        lambda: llvm.product(made.x, made.values[:, :8], None, made.layout),
        lambda: llvm.product(made.x.double(), made.values.double(), None, made.layout),
        lambda: llvm.product(made.x.to("meta"), made.values, None, made.layout),
        lambda: llvm.product(made.x, made.values, None, Layout(made.layout.index.long(), 2, 2)),
        lambda: llvm.product(made.x, made.values, None, Layout(made.layout.index[::2], 2, 2)),
        lambda: llvm.transposed(made.x[:3, :32], made.values, made.layout),
        lambda: llvm.sampled(made.grad[1:], made.x, (32, 32), made.layout),
        lambda: llvm.sampled(made.grad, made.x, (32, 16), made.layout),
    ]
    for call_it in wrong:
        with pytest.raises(KernelError):
            call_it()


def test_compiled_once_for_each_shape_and_type() -> None:
    kind = 32, 32, False, host()
    assert call.kernel(product_ir, *kind) is call.kernel(product_ir, *kind)
    assert call.kernel(sampled_ir, *kind) is not call.kernel(product_ir, *kind)


def test_chunks_are_whole_tiles_and_cover_all_tokens() -> None:
    for tokens, threads, tile in itertools.product([1, 11, 12, 128, 1000], [1, 2, 3, 8], [6, 12]):
        size, count = call.chunks(tokens, threads, tile)
        assert size % tile == 0 and (count - 1) * size < tokens <= count * size
        assert size <= call.CHUNK + tile


def test_it_runs_in_the_threads_of_torch(threads: int) -> None:
    """Else its own would compete with those of torch, which spin for a while after each call."""
    if not machine.openmp():
        pytest.skip("no OpenMP with GNU's entry in this build of torch: one thread")
    assert team_size() == threads


def stress(seconds: float) -> list[str]:
    """Two threads of Python, each with a team of torch's; what went wrong."""
    wrong: list[str] = []
    end = time.monotonic() + seconds

    def work(seed: int) -> None:
        torch.set_num_threads(2)  # OpenMP's number belongs to the thread that sets it
        generator = torch.Generator().manual_seed(seed)
        while time.monotonic() < end and not wrong:
            tokens, dtype = torch.randint(1, 300, (2,), generator=generator).tolist()
            given = problem(tokens, (6, 5), dtype=call.DTYPES[dtype % 2], pattern="random")
            try:
                assert_right(backends.load("llvm"), given)
            except (AssertionError, KernelError) as error:
                wrong.append(str(error))

    workers = [threading.Thread(target=work, args=(seed,)) for seed in (1, 2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return wrong


def test_two_at_once() -> None:
    assert stress(1.0) == []


@pytest.mark.slow
def test_two_at_once_for_a_minute() -> None:
    assert stress(60.0) == []
