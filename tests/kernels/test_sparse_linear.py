"""`BlockSparseLinear` in place of `nn.Linear`: the same outputs and gradients everywhere."""

import copy
import io
import shutil
import warnings
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import Tensor, nn

from prune.errors import KernelError
from prune.kernels import BlockSparseLinear, backends
from prune.kernels.layout import to_values

CPU = [name for name in ("reference", "rows", "llvm") if backends.installed(name)]
MASK = torch.tensor([[1, 0, 1], [0, 0, 0], [0, 1, 1], [1, 0, 0]]) > 0


def pair(backend: str = "auto", **changes: bool) -> tuple[BlockSparseLinear, nn.Linear]:
    """A layer and the masked dense one it was made from."""
    torch.manual_seed(0)
    dense = nn.Linear(96, 128, **changes)
    with torch.no_grad():
        dense.weight *= MASK.repeat_interleave(32, 0).repeat_interleave(32, 1)
    return BlockSparseLinear.from_linear(dense, MASK, backend), dense


def inputs(*shape: int) -> Tensor:
    return torch.randn(*shape, 96, requires_grad=True)


@pytest.mark.parametrize("backend", ["auto", *CPU])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(), (5,), (3, 7), (2, 0), (2, 3, 4)], ids=str)
def test_it_equals_the_masked_linear(backend: str, bias: bool, shape: tuple[int, ...]) -> None:
    ours, dense = pair(backend, bias=bias)
    x = inputs(*shape)
    y = dense(x)
    with torch.no_grad():
        torch.testing.assert_close(ours(x), y)
    toward = torch.randn_like(y)
    right = torch.autograd.grad(y, [x, *dense.parameters()], toward)
    named = dict(ours.named_parameters())
    found = torch.autograd.grad(
        ours(x), [x, named["values"], *([named["bias"]] if bias else [])], toward
    )
    torch.testing.assert_close(found[0], right[0])
    again = BlockSparseLinear.from_linear(linear_of(right[1]), MASK)
    torch.testing.assert_close(found[1], again.values.detach())
    if bias:
        torch.testing.assert_close(found[2], right[2])


def linear_of(weight: Tensor) -> nn.Linear:
    dense = nn.Linear(weight.shape[1], weight.shape[0], bias=False)
    dense.weight = nn.Parameter(weight)
    return dense


def test_inputs_may_lie_anyhow() -> None:
    ours, dense = pair()
    for x in (
        torch.randn(96, 5, 3).permute(2, 1, 0),
        torch.randn(5, 200)[:, 52:148],
        torch.randn(5, 192)[:, ::2],
        torch.randn(1, 96).expand(6, 96),
        torch.randn(12, 96)[::3],
    ):
        torch.testing.assert_close(ours(x), dense(x))


@pytest.mark.parametrize("backend", ["auto", *CPU])
def test_gradients_may_lie_anyhow(backend: str) -> None:
    ours, dense = pair(backend)
    x = torch.randn(96, 7).T.requires_grad_()
    for toward in (
        torch.ones(()).expand(7, 128),  # what .sum() gives
        torch.randn(128, 7).T,
        torch.randn(7, 256)[:, ::2],
        torch.randn(1, 128).expand(7, 128),
    ):
        found = torch.autograd.grad(ours(x), [x, ours.values, ours.bias], toward)
        right = torch.autograd.grad(dense(x), [x, dense.weight, dense.bias], toward)
        torch.testing.assert_close(found[0], right[0])
        torch.testing.assert_close(found[1], to_values(right[1], ours.layout))
        torch.testing.assert_close(found[2], right[2])


@pytest.mark.parametrize("backend", ["auto", *CPU])
def test_a_layer_without_blocks_is_its_bias(backend: str) -> None:
    layer = BlockSparseLinear(64, 96, density=0.0, backend=backend)
    x = torch.randn(3, 5, 64, requires_grad=True)
    y = layer(x)
    assert torch.equal(y, layer.bias.expand(3, 5, 96)) and layer.density == 0
    y.square().sum().backward()
    assert x.grad is not None and not x.grad.any()
    assert layer.values.grad is not None and layer.values.grad.shape == (0, 32, 32)
    assert torch.equal(
        BlockSparseLinear.from_linear(layer.to_linear(), (32, 32)).weight, layer.weight
    )


@pytest.mark.parametrize("backend", ["reference", "rows"])
def test_gradcheck(backend: str) -> None:
    torch.manual_seed(0)
    layer = BlockSparseLinear(4, 6, 0.5, (2, 2), backend=backend, dtype=torch.float64)
    x = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)

    def output(x: Tensor, values: Tensor, bias: Tensor) -> Tensor:
        given = {"values": values, "bias": bias, "index": layer.index}
        result: Tensor = torch.func.functional_call(layer, given, (x,))
        return result

    assert torch.autograd.gradcheck(output, (x, layer.values, layer.bias))


def test_there_and_back() -> None:
    ours, dense = pair()
    back = ours.eval().to_linear()
    assert not back.training
    assert torch.equal(back.weight, dense.weight) and torch.equal(back.bias, dense.bias)
    assert torch.equal(ours.weight, dense.weight)
    found = BlockSparseLinear.from_linear(dense, (32, 32))
    assert torch.equal(found.index, ours.index) and found.block == (32, 32)
    assert found.density == int(MASK.sum()) / MASK.numel()


def test_a_new_layer_is_as_dense_as_asked_and_trains() -> None:
    torch.manual_seed(0)
    layer = BlockSparseLinear(128, 128, density=0.25)
    assert layer.density == 0.25 and "density=0.250" in repr(layer)
    assert 0.1 < layer(torch.randn(50, 128)).std() < 1
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.1)
    x, target = torch.randn(20, 128), torch.randn(20, 128)
    losses = []
    for _ in range(5):
        loss = (layer(x) - target).square().mean()
        losses.append(loss.item())
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    assert losses == sorted(losses, reverse=True)


def test_frozen_parameters_stay_frozen() -> None:
    dense = nn.Linear(64, 64).requires_grad_(False)
    ours = BlockSparseLinear.from_linear(dense, (32, 32))
    assert not any(p.requires_grad for p in [*ours.parameters(), *ours.to_linear().parameters()])


def test_few_tokens_are_multiplied_densely_and_many_are_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Calling a kernel costs some: with a token or two more than it saves."""
    monkeypatch.setitem(backends.FEW, "cpu", 10 * 64 * 96)
    layer = BlockSparseLinear(64, 96, density=0.2)
    right = layer.to_linear()
    with torch.no_grad():
        for tokens, kept in ((10, False), (9, True)):
            x = torch.randn(tokens, 64)
            torch.testing.assert_close(layer(x), right(x))
            assert (layer._kept is not None) == kept


def test_above_the_tie_a_dense_matrix_is_kept_until_the_weights_change() -> None:
    layer = BlockSparseLinear(64, 96, density=1.0)
    x = torch.randn(5, 64)
    with torch.no_grad():
        first = layer(x)
        torch.testing.assert_close(first, layer.to_linear()(x))
        kept = layer._kept
        assert kept is not None and torch.equal(layer(x), first) and layer._kept is kept
        layer.values.mul_(2)
        layer.bias.mul_(2)
        torch.testing.assert_close(layer(x), 2 * first)
        layer.load_state_dict(BlockSparseLinear(64, 96, density=1.0).state_dict())
        torch.testing.assert_close(layer(x), layer.to_linear()(x))
    assert "_kept" not in layer.state_dict() and layer.train()._kept is None


# --- kept and copied --------------------------------------------------------------------------


def test_deepcopy_is_apart() -> None:
    ours, _ = pair()
    twin = copy.deepcopy(ours)
    x = inputs(4)
    assert torch.equal(twin(x), ours(x))
    with torch.no_grad():
        twin.values.add_(1)
    assert not torch.equal(twin(x), ours(x))


def test_state_dict_brings_its_own_pattern(tmp_path: Path) -> None:
    ours, _ = pair()
    other = BlockSparseLinear(96, 128, density=0.9)
    stream = io.BytesIO()
    torch.save(ours.state_dict(), stream)
    stream.seek(0)
    other.load_state_dict(torch.load(stream, weights_only=True))
    x = inputs(4)
    assert torch.equal(other(x), ours(x))
    third = BlockSparseLinear(96, 128, density=0.1)
    safetensors.torch.save_model(ours, str(tmp_path / "layer.safetensors"))
    safetensors.torch.load_model(third, str(tmp_path / "layer.safetensors"))
    assert torch.equal(third(x), ours(x)) and torch.equal(third.index, ours.index)


@pytest.mark.parametrize("change", ["index", "values"])
def test_a_spoilt_state_dict_is_refused(change: str) -> None:
    ours, _ = pair()
    state = {name: tensor.clone() for name, tensor in ours.state_dict().items()}
    if change == "index":
        state["index"][-1] = 10**6
    else:
        state["values"] = state["values"][1:]
    with pytest.raises(KernelError):
        ours.load_state_dict(state)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("density", [0.05, 0.25, 0.5, 1.0])
@pytest.mark.parametrize("side", [16, 32, 64])
def test_memory_law(side: int, density: float, dtype: torch.dtype) -> None:
    """P9: all that a layer holds of its matrix is at most 1.05 x its density of the dense one."""
    layer = BlockSparseLinear(768, 768, density, (side, side), bias=False, dtype=dtype)
    held = sum(t.numel() * t.element_size() for t in layer.state_dict().values())
    assert held <= 1.05 * layer.density * 768 * 768 * dtype.itemsize


# --- where torch takes it ---------------------------------------------------------------------


@pytest.mark.parametrize("backend", CPU)
def test_compile_has_no_graph_break(backend: str) -> None:
    ours, dense = pair(backend)
    compiled = torch.compile(ours, fullgraph=True, backend="aot_eager", dynamic=True)
    for tokens in (4, 9):
        x = inputs(tokens)
        torch.testing.assert_close(compiled(x), dense(x))
        toward = torch.randn(tokens, 128)
        found = torch.autograd.grad(compiled(x), [x, ours.values], toward)
        right = torch.autograd.grad(ours(x), [x, ours.values], toward)
        torch.testing.assert_close(found, right)


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("g++"), reason="torch.compile needs a C++ compiler")
@pytest.mark.filterwarnings("ignore")
def test_compiled_for_real_beside_other_layers() -> None:
    ours, dense = pair()
    both = [nn.Sequential(layer, nn.GELU(), nn.LayerNorm(128)) for layer in (ours, dense)]
    compiled = torch.compile(both[0], fullgraph=True)
    x = inputs(50)
    torch.testing.assert_close(compiled(x), both[1](x))
    toward = torch.randn(50, 128)
    compiled(x).backward(toward)
    right = torch.autograd.grad(both[1](x), dense.weight, toward)[0]
    expected = to_values(right, ours.layout)
    torch.testing.assert_close(ours.values.grad, expected, rtol=1e-4, atol=1e-4)


def test_operators_are_what_they_say() -> None:
    ours, _ = pair()
    layout = (ours.index, *ours.grid)
    x, grad = torch.randn(5, 96, requires_grad=True), torch.randn(5, 128)
    checks = ("test_schema", "test_autograd_registration", "test_faketensor")
    operators = torch.ops.prune
    for operator, arguments in (
        (operators.block_product, (x, ours.values, ours.bias, *layout, "rows")),
        (operators.block_transposed, (grad, ours.values.detach(), *layout, "rows")),
        (operators.block_sampled, (grad, x.detach(), 32, 32, *layout, "rows")),
    ):
        torch.library.opcheck(operator.default, arguments, test_utils=checks)


@pytest.mark.parametrize("backend", ["auto", *CPU])
def test_autocast(backend: str) -> None:
    ours, dense = pair(backend)
    x = inputs(6)
    with torch.autocast("cpu", torch.bfloat16):
        y = ours(x)
        right = dense(x)
    assert y.dtype == torch.bfloat16
    torch.testing.assert_close(y, right, rtol=2e-2, atol=2e-2)
    y.float().square().sum().backward()
    assert ours.values.grad is not None and ours.values.grad.dtype == torch.float32


def test_bf16_by_conversion() -> None:
    ours, dense = pair()
    x = inputs(6).bfloat16()
    y = ours.bfloat16()(x)
    torch.testing.assert_close(y, dense.bfloat16()(x), rtol=2e-2, atol=2e-2)
    assert ours.index.dtype == torch.int32


def test_export_is_dense_and_says_so() -> None:
    ours, dense = pair()
    x = inputs(6).detach()
    with pytest.warns(UserWarning, match="exported as a dense matrix"):
        program = torch.export.export(ours.eval(), (x,))
    assert not any("prune" in str(node.target) for node in program.graph.nodes)
    torch.testing.assert_close(program.module()(x), dense(x))


def test_onnx(tmp_path: Path) -> None:
    pytest.importorskip("onnxscript", reason="ONNX export needs onnxscript")
    runtime = pytest.importorskip("onnxruntime", reason="needs onnxruntime")
    ours, dense = pair()
    x = inputs(6).detach()
    path = tmp_path / "layer.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(ours.eval(), (x,), path, dynamo=True, input_names=["x"])
    session = runtime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {"x": x.numpy()})
    torch.testing.assert_close(torch.from_numpy(found), dense(x).detach())


# --- bad input --------------------------------------------------------------------------------


def test_wrong_inputs_get_one_line() -> None:
    ours, _ = pair()
    with pytest.raises(KernelError, match=r"reads \(\.\.\., 96\)"):
        ours(torch.randn(3, 95))
    with pytest.raises(KernelError, match="float64"):
        ours(torch.randn(3, 96, dtype=torch.float64))
    with pytest.raises(KernelError, match="do not divide 128x96"):
        BlockSparseLinear(96, 128, block=(48, 48))
    with pytest.raises(KernelError, match="unknown backend"):
        BlockSparseLinear(96, 128, backend="cuda")
    ours.double().backend = "llvm"
    with pytest.raises(KernelError, match="not float64"):
        ours(torch.randn(3, 96, dtype=torch.float64))
