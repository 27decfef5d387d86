"""Runtimes give the logits of the model they run; what they read is as long as was asked."""

import dataclasses
import functools
import re
import shutil
from typing import Any

import pytest
import torch

from prune import choices
from prune.errors import ConfigError, KernelError
from prune.kernels import BlockSparseLinear, backends
from prune.speed import memory, runtimes
from prune.speed.measure import pair, threads
from prune.speed.runtimes import FROM_MODEL, Eager, Runtime
from prune.speed.workload import PIECES, Workload
from tests import networks, tiny

LENGTHS = tuple(range(3, 23))


def logits(runtime: Runtime) -> torch.Tensor:
    return runtime(tiny.batch())["start_logits"].float()


def test_a_runtime_gives_the_models_logits() -> None:
    model = tiny.bert()
    expected = logits(Eager(model))
    assert torch.equal(expected, model(**tiny.batch()).start_logits)
    half = Eager(model, "bf16")
    assert half.dtype == "bf16" and model.dtype == torch.float32
    assert 0 < (logits(half) - expected).abs().max() < 0.2


@pytest.mark.filterwarnings("ignore")
def test_int8_of_torch_is_close_and_leaves_the_model_alone() -> None:
    model = tiny.bert()
    before = [p.clone() for p in model.parameters()]
    found = logits(FROM_MODEL["torch_int8"](model, None))
    assert 0 < (found - logits(Eager(model))).abs().max() < 0.5
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("g++"), reason="torch.compile needs a C++ compiler")
def test_compiled_gives_the_same_logits_for_any_shape() -> None:
    model = tiny.bert(layers=1)
    compiled = FROM_MODEL["compiled"](model, None)
    for rows, length in ((3, 10), (1, 7), (5, 12)):
        batch = tiny.batch(rows, length)
        found = compiled(batch)["start_logits"]
        assert torch.allclose(found, model(**batch).start_logits, atol=1e-5)


@pytest.mark.skipif(not runtimes._ISOLATES, reason="this torch counts all networks together")
def test_many_networks_are_all_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    graphs: list[Any] = []

    def backend(graph: Any, _: Any) -> Any:
        graphs.append(graph)
        return graph.forward

    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend=backend))
    for width in range(8, 20):  # more than torch would compile of one function
        model = tiny.bert(layers=1)
        layer = model.bert.encoder.layer[0]
        layer.intermediate.dense = torch.nn.Linear(32, width)
        layer.output.dense = torch.nn.Linear(width, 32)
        before = len(graphs)
        logits(FROM_MODEL["compiled"](model.eval(), None))
        assert len(graphs) > before, f"network {width - 7} ran as it was"


def test_what_a_run_may_be_timed_in_runs_the_weights_as_they_are() -> None:
    assert set(choices.RUNTIMES) <= set(FROM_MODEL)
    assert all("fp32" in kind.dtypes for name in choices.RUNTIMES for kind in [_kind(name)])


def _kind(name: str) -> Any:
    return next(k for k in vars(runtimes).values() if getattr(k, "name", None) == name)


def test_a_workload_is_drawn_again_from_its_number() -> None:
    model = tiny.bert()
    work = Workload(2, 9)
    first, again, other = (work.batches(model, draw)[0]["input_ids"] for draw in (1, 1, 2))
    assert first.shape == (2, 9) and torch.equal(first, again) and not torch.equal(first, other)


def test_padded_and_real_lengths() -> None:
    model = tiny.bert()
    padded = Workload(4, 16, LENGTHS)
    (batch,) = padded.batches(model, 0)
    assert batch["input_ids"].shape == (4, 16)
    assert sorted(batch["attention_mask"].sum(1).tolist()) == [5, 10, 15, 16]  # 20 is cut
    real = dataclasses.replace(padded, padded=False).batches(model, 0)
    assert len(real) == PIECES
    for batch in real:
        lengths = batch["attention_mask"].sum(1)
        assert batch["input_ids"].shape[1] == lengths.max() <= 16
        assert lengths.max() - lengths.min() <= 3, "similar lengths share a batch"
    whole = sum(int(b["attention_mask"].sum()) for b in real) / (4 * PIECES)
    assert whole == pytest.approx(sum(min(n, 16) for n in LENGTHS) / len(LENGTHS), rel=0.05)


def test_real_lengths_are_not_padded_where_they_are_timed() -> None:
    model = tiny.bert()
    widths: list[int] = []
    model.bert.embeddings.register_forward_pre_hook(
        lambda _, args, inputs: widths.append(inputs["input_ids"].shape[1]), with_kwargs=True
    )
    cells = []
    for padded, width in ((True, 32), (False, 6)):
        widths.clear()
        work = Workload(16, 32, (4, 5, 6), padded)
        cells.append(pair(Eager(model), Eager(model), model, work, rounds=5))
        assert max(widths) == width
    assert cells[0].padded and not cells[1].padded
    assert cells[0].dtype == "fp32" and cells[0].threads == torch.get_num_threads()
    assert cells[0].device


def test_pictures_have_no_real_length() -> None:
    with pytest.raises(ConfigError, match="no real length"):
        Workload(2, 8, (4,), padded=False).batches(networks.NETWORKS["vit"](), 0)


@pytest.mark.parametrize(
    ("batch", "length", "why"),
    [(1, 33, "reads 32 tokens at most"), (10**9, 32, "does not fit: about .* GB of activations")],
)
def test_a_batch_that_does_not_fit_is_refused(batch: int, length: int, why: str) -> None:
    model = tiny.bert()
    with pytest.raises(ConfigError, match=rf"batch {batch} x {length}.*{why}"):
        pair(Eager(model), Eager(model), model, Workload(batch, length))


def test_what_is_needed_grows_with_the_batch_and_holds_what_is_seen() -> None:
    model = tiny.bert()
    needed = [memory.activations(model, Workload(n, 16)) for n in (1, 8)]
    assert needed[1] == 8 * needed[0] >= 8 * 16 * (32 + 48) * 4


def test_an_allocation_that_fails_says_which_batch() -> None:
    with pytest.raises(ConfigError, match="batch 9 does not fit"), memory.fitting("batch 9"):
        torch.empty(2**60)
    with pytest.raises(RuntimeError, match="other"), memory.fitting("batch 9"):
        raise RuntimeError("something other")


def test_threads_are_given_back() -> None:
    before = torch.get_num_threads()
    with threads(before + 1):
        assert torch.get_num_threads() == before + 1
    assert torch.get_num_threads() == before


def blocked(density: float = 0.4) -> Any:
    """Blocks of 16x16 of the encoder's layers cleared at random."""
    pytest.importorskip("llvmlite", reason="other backends leave layers of this density dense")
    model = tiny.bert()
    for module in model.bert.encoder.modules():
        if isinstance(module, torch.nn.Linear):
            rows, columns = module.out_features // 16, module.in_features // 16
            keep = torch.rand(rows, columns) < density
            mask = keep.repeat_interleave(16, 0).repeat_interleave(16, 1)
            module.weight.data *= mask
    return model


@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
def test_block_sparse_gives_the_models_logits_by_its_blocks_alone(
    dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backends, "FEW", {})  # or so small a network is multiplied densely
    for name in ("llvm", "amx"):  # however fast dense products are here
        for kind in (torch.float32, torch.bfloat16):
            monkeypatch.setitem(backends.TIES, (name, kind), {16: 1.0})
    model = blocked()
    before = [p.clone() for p in model.parameters()]
    sparse = FROM_MODEL["block_sparse"](model, dtype)
    kinds = {type(module).__name__ for module in sparse.sparse.model.modules()}
    assert "BlockSparseLinear" in kinds and sparse.dtype == dtype
    close = {"fp32": 1e-5, "bf16": 0.3}[dtype]
    assert torch.allclose(logits(sparse), logits(Eager(model, dtype)), atol=close)
    sparse.check(tiny.batch())
    assert re.match(r"1[123] of 13 linear layers by their blocks, which are 0\.\d", sparse.note)
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))


def test_block_sparse_is_eager_where_nothing_is_zero() -> None:
    runtime = FROM_MODEL["block_sparse"](tiny.bert(), None)
    assert runtime.note == "0 of 13 linear layers by their blocks: " + (
        "a dense product is as fast, so this is eager"
    )
    assert torch.equal(logits(runtime), logits(Eager(tiny.bert())))


def test_other_outputs_are_found_before_anything_is_timed() -> None:
    model = blocked()
    spoilt = FROM_MODEL["block_sparse"](model, None)
    layers = [m for m in spoilt.sparse.model.modules() if isinstance(m, BlockSparseLinear)]
    with torch.no_grad():
        max(layers, key=lambda layer: layer.density).values[0] += 0.1
    with pytest.raises(KernelError, match=r"another .*_logits than eager"):
        pair(Eager(model), spoilt, model, Workload(2, 9))


@pytest.mark.parametrize("name", ["t5", "bart lm"])
def test_a_network_that_writes_text_runs_by_its_blocks(name: str) -> None:
    model = networks.NETWORKS[name]()
    for path, module in model.named_modules():
        if isinstance(module, torch.nn.Linear) and "layer" in path:
            module.weight.data[:, :16] = 0
    runtime = FROM_MODEL["block_sparse"](model, None)
    assert not runtime.note.startswith("0 of")
    work = Workload(2, 9)
    work.check([runtime], model)
    runtime.once(work.batches(model, 0)[0])
