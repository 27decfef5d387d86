"""Masks applied in one pass are masks applied by torch, and nothing else is written."""

import itertools
import math
import warnings
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

pytest.importorskip("llvmlite", reason="needs llvmlite: pip install 'prune[cpu]'")
from prune.kernels import backends, masking, soft_masks
from prune.kernels.later import Later
from prune.kernels.llvm import machine
from prune.kernels.llvm.machine import Machine, host
from prune.masks.algorithms import L0, Ampere
from prune.masks.algorithms.ampere import PATTERNS
from prune.masks.algorithms.base import Moment
from prune.masks.noise import Noise

SIZES = [(1, 1), (4, 1), (64, 1), (1, 16), (1, 48), (32, 32), (16, 64), (4, 4), (1, 4), (2, 8)]
GROUPS = [(1, 48), (5, 16), (3, 32)]
GUARD = 64  # numbers on either side of what may be written


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (masking, soft_masks):
        monkeypatch.setattr(module, "SMALL", 1)


@pytest.fixture(params=[n for n in (16, 8, 4) if n <= host().lanes], ids=lambda n: f"{n} lanes")
def like(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    """A processor that this one can pretend to be."""
    narrow = host().narrow(request.param)
    caches = (masking._code, soft_masks._code)
    for module in (masking, soft_masks):
        monkeypatch.setattr(module, "host", lambda: narrow)
    for cache in caches:
        cache.cache_clear()
    yield narrow
    for cache in caches:
        cache.cache_clear()


def guarded(shape: tuple[int, ...], on_its_side: bool = False) -> tuple[Tensor, Tensor]:
    """A tensor of random numbers, and the memory around it that nobody may write."""
    whole = torch.randn(torch.Size(shape).numel() + 2 * GUARD)
    whole[:GUARD] = whole[-GUARD:] = 7.0
    inside = whole[GUARD:-GUARD]
    return (inside.view(shape[::-1]).T if on_its_side else inside.view(shape)), whole


def untouched(*wholes: Tensor) -> bool:
    return all(bool((w[:GUARD] == 7).all() and (w[-GUARD:] == 7).all()) for w in wholes)


@dataclass
class Given:
    """A matrix, its gradient and a mask of groups; `spread` is the mask in full."""

    size: tuple[int, int]
    groups: tuple[int, int]
    soft: bool
    on_its_side: bool = False

    def __post_init__(self) -> None:
        (height, width), (rows, columns) = self.size, self.groups
        shape = rows * height, columns * width
        made = [guarded(shape, self.on_its_side) for _ in range(3)]
        (self.weights, self.gradient, self.out), self.wholes = zip(*made, strict=True)
        self.mask = torch.rand(rows, columns)
        if not self.soft:
            self.mask = (self.mask > 0.4).to(torch.uint8)
        self.spread = self.mask.float().repeat_interleave(height, 0).repeat_interleave(width, 1)

    def sums(self, product: Tensor) -> Tensor:
        (height, width), (rows, columns) = self.size, self.groups
        return product.reshape(rows, height, columns, width).sum((1, 3))


def cases() -> Iterator[Given]:
    torch.manual_seed(0)
    for size, groups, soft in itertools.product(SIZES, GROUPS, (False, True)):
        if groups[1] * size[1] % 16 == 0:
            yield Given(size, groups, soft)
        if groups[0] * size[0] % 16 == 0 and groups[1] * size[1] % 16 == 0:
            yield Given(size, groups, soft, on_its_side=True)


def test_scaling_is_a_product_to_the_last_bit(threads: int) -> None:
    for given in cases():
        assert masking.scale(given.weights, given.mask, given.size, given.out)
        assert torch.equal(given.out, given.weights * given.spread), given.size
        assert masking.scale(given.weights, given.mask, given.size, given.weights)  # in place
        assert torch.equal(given.out, given.weights)
        assert untouched(*given.wholes)


def test_pulling_sums_over_groups_and_scales_the_gradient(threads: int) -> None:
    for given in cases():
        before = given.gradient.clone()
        sums = masking.pull(given.gradient, given.weights, given.mask, given.size, given.out)
        assert sums is not None
        torch.testing.assert_close(
            sums.double(), given.sums(before.double() * given.weights), rtol=1e-5, atol=1e-5
        )
        assert torch.equal(given.gradient, before * given.spread), given.size
        assert untouched(*given.wholes)


def test_what_is_put_off_is_made_in_its_order(threads: int) -> None:
    """Of large groups; what was handed over may be forgotten."""
    for given in cases():
        later, before = Later(), [x.clone() for x in (given.gradient, given.out)]
        both = given.gradient, given.weights
        right = given.sums(given.gradient.double() * given.weights)
        sums = masking.pull(*both, given.mask, given.size, given.out, later=later)
        masking.scale(given.weights, given.mask.clone(), given.size, given.out, later)
        masking.scale(given.gradient, given.mask.clone(), given.size, given.gradient, later)
        if given.size in [(64, 1), (32, 32), (16, 64)]:
            assert torch.equal(given.gradient, before[0]) and torch.equal(given.out, before[1])
        later.make()
        assert sums is not None
        if given.size != (1, 1):  # of single weights they were in `out`
            torch.testing.assert_close(sums.double(), right, rtol=1e-5, atol=1e-5)
        assert torch.equal(given.gradient, before[0] * given.spread * given.spread), given.size
        assert torch.equal(given.out, given.weights * given.spread)
        assert untouched(*given.wholes)


def sizes_are_sums(given: Given) -> None:
    """Of all groups but those that are single weights, or four of a row."""
    before = given.weights.clone()
    sums = masking.sizes(given.weights, given.size)
    assert (sums is None) == (given.size in [(1, 1), (1, 4)])
    if sums is not None:
        torch.testing.assert_close(
            sums.double(), given.sums(before.abs().double()), rtol=1e-5, atol=0
        )
    assert torch.equal(given.weights, before) and untouched(*given.wholes)


def test_sizes_of_groups(threads: int) -> None:
    for given in cases():
        sizes_are_sums(given)


def test_sizes_that_it_cannot_serve(monkeypatch: pytest.MonkeyPatch) -> None:
    weights = torch.randn(12, 64)
    assert masking.sizes(weights, (4, 16)) is not None
    assert masking.sizes(weights, (5, 16)) is None and masking.sizes(weights, (4, 48)) is None
    assert masking.sizes(torch.randn(4, 24), (2, 1)) is None  # not sixteen at a time
    assert masking.sizes(weights.double(), (4, 16)) is None
    assert masking.sizes(weights.repeat(1, 2)[:, ::2], (4, 16)) is None
    monkeypatch.setattr(masking, "usable", lambda: False)
    assert masking.sizes(weights, (4, 16)) is None


def test_narrower_processors(like: Machine) -> None:
    for given in cases():
        sizes_are_sums(given)
        before = given.gradient.clone()
        assert masking.scale(given.weights, given.mask, given.size, given.out)
        assert torch.equal(given.out, given.weights * given.spread)
        sums = masking.pull(given.gradient, given.weights, given.mask, given.size, given.out)
        right = given.sums(before.double() * given.weights)
        torch.testing.assert_close(sums, right.float(), rtol=1e-5, atol=1e-5)
    hard_concrete(7)
    patterns_of_four(7)
    patterns_beside_groups(soft=True)


@pytest.mark.parametrize("rate", [0.0, 0.7])
def test_the_penalty_on_the_way(threads: int, rate: float) -> None:
    given, how = Given((1, 1), (9, 64), soft=False), L0()
    scores, _ = guarded(given.groups)
    scores[0, :6] = EXTREME
    product = given.gradient.double() * given.weights
    right = product + rate * how.penalty_gradient(scores.double()) if rate else product
    push = masking.Push(scores, rate, how.shift)
    found = masking.pull(given.gradient, given.weights, given.mask, given.size, given.out, push)
    torch.testing.assert_close(found, right.float(), rtol=1e-5, atol=1e-6, equal_nan=True)
    assert untouched(*given.wholes)


EXTREME = torch.tensor([0.0, -200, 200, torch.inf, -torch.inf, torch.nan])


@pytest.mark.parametrize("rows", [1, 24, 7])
def test_soft_masks_are_made_on_the_way(threads: int, rows: int) -> None:
    hard_concrete(rows)
    patterns_of_four(rows)


def hard_concrete(rows: int, offset: float = 0.3) -> None:
    torch.manual_seed(0)
    how, shape = L0(), (rows, 80)
    given = Given((1, 1), shape, soft=False)
    scores, around = guarded(shape)
    scores *= 4
    scores[-1, :6] = EXTREME
    scores[0, 6:] = -99 if rows > 1 else 0  # a row that is dead, if no other mask is at stake
    scores[0, :6] = -99 if rows > 1 else EXTREME
    noise, exact = Noise(1, 2, 3), scores.double()
    mask = how.training_mask(exact - offset, 0.0, noise.like(exact))
    at = Moment(scores, offset, 0.0, noise.words)
    highest = how.scale(at, given.weights, given.out)
    close(given.out, mask * given.weights)
    assert highest is not None
    assert torch.equal(highest[:-1] > 0, (mask.amax(1) > 0)[:-1])
    product = given.gradient.double() * given.weights
    right = how.score_gradient(exact, mask, product, 0.0) + 0.7 * how.penalty_gradient(exact)
    scaled = given.gradient * mask
    found = how.pull(at, given.gradient, given.weights, 0.7, given.out)
    assert found is given.out
    close(found, right)
    close(given.gradient, scaled)
    assert untouched(around, *given.wholes)


def patterns_of_four(rows: int) -> None:
    torch.manual_seed(0)
    how = Ampere()
    for temperature in (0.0, 3.0, 200.0):
        given = Given((1, 1), (rows, 128), soft=False)
        scores, around = guarded((6, rows, 32))
        exact, product = scores.double(), given.gradient.double() * given.weights
        at = Moment(scores, 0.3, temperature, (0, 0))
        mask = how.training_mask(exact, temperature, None)
        assert how.scale(at, given.weights, given.out) is not None
        close(given.out, mask * given.weights)
        made = torch.empty(rows, 128)
        assert soft_masks.softmax(PATTERNS, scores, temperature, made) is made
        close(made, mask)
        right = how.score_gradient(exact, mask, product, temperature)
        back = soft_masks.softmax_back(PATTERNS, scores, temperature, product.float())
        torch.testing.assert_close(back, right.float(), rtol=1e-4, atol=1e-6 * temperature)
        scaled = given.gradient * mask
        found = how.pull(at, given.gradient, given.weights, 0.0, given.out)
        torch.testing.assert_close(found, right.float(), rtol=1e-4, atol=1e-6 * temperature)
        close(given.gradient, scaled)
        assert untouched(around, *given.wholes)


@pytest.mark.parametrize("soft", [False, True])
def test_two_masks_at_once(threads: int, soft: bool) -> None:
    patterns_beside_groups(soft)


def patterns_beside_groups(soft: bool) -> None:
    """2 of 4 times a mask of groups of every size that there may be."""
    torch.manual_seed(0)
    how, temperature = Ampere(), 3.0
    for (height, width), rows in itertools.product([*SIZES, (1, 128), (96, 1)], (1, 3)):
        given = Given((height, width), (rows, 192 // math.gcd(192, width)), soft)
        scores, around = guarded((6, len(given.weights), given.weights.shape[1] // 4))
        exact, product = scores.double(), given.gradient.double() * given.weights
        other = given.spread.double()
        mask = how.training_mask(exact, temperature, None)
        beside = soft_masks.Beside(given.mask, given.size)
        at = Moment(scores, 0.0, temperature, (0, 0), beside)
        assert how.scale(at, given.weights, given.out) is not None
        close(given.out, mask * other * given.weights)
        right = how.score_gradient(exact, mask, product * other, temperature)
        scaled = given.gradient * mask * other
        found = how.pull(at, given.gradient, given.weights, 0.0, given.out)
        torch.testing.assert_close(found, right.float(), rtol=1e-4, atol=1e-5)
        close(given.gradient, scaled)
        sums = given.sums(product * mask).float()
        torch.testing.assert_close(beside.sums, sums, rtol=1e-5, atol=2e-5)
        assert untouched(around, *given.wholes)


def test_a_mask_of_another_matrix_is_refused() -> None:
    given = Given((32, 32), (2, 4), soft=False)
    scores = torch.randn(6, 64, 32)
    for size in ((16, 32), (32, 64)):
        at = Moment(scores, 0.0, 1.0, (0, 0), soft_masks.Beside(given.mask, size))
        assert Ampere().scale(at, given.weights, given.out) is None
        assert Ampere().pull(at, given.gradient, given.weights, 0.0, given.out) is None


def close(found: Tensor, exact: Tensor) -> None:
    torch.testing.assert_close(found, exact.float(), rtol=1e-5, atol=2e-6, equal_nan=True)


def test_what_it_cannot_serve_is_left_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(given: Given, size: tuple[int, int]) -> bool:
        before = [t.clone() for t in (given.weights, given.gradient, given.out)]
        scaled = masking.scale(given.weights, given.mask, size, given.out)
        pulled = masking.pull(given.gradient, given.weights, given.mask, size, given.out)
        after = (given.weights, given.gradient, given.out)
        same = all(map(torch.equal, before, after))
        return same and not scaled and pulled is None

    given = Given((4, 16), (3, 4), soft=False)
    assert refused(given, (4, 8)) and refused(given, (2, 16))  # groups of another size
    assert refused(Given((1, 1), (4, 24), soft=False), (1, 1))  # not sixteen at a time
    given.mask = given.mask.long()
    assert refused(given, (4, 16))
    given = Given((4, 16), (3, 4), soft=False)
    given.weights = given.weights.double()
    assert refused(given, (4, 16))
    given = Given((4, 16), (3, 4), soft=False)
    given.weights = given.weights.repeat(1, 2)[:, ::2]
    assert refused(given, (4, 16))
    given = Given((4, 16), (3, 4), soft=False)
    monkeypatch.setattr(masking, "SMALL", 1 << 20)
    assert refused(given, (4, 16))
    monkeypatch.setattr(masking, "SMALL", 1)
    monkeypatch.setattr(masking, "usable", lambda: False)
    assert refused(given, (4, 16))


def test_a_llvmlite_that_is_too_old_is_named_once_and_torch_serves(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import llvmlite.binding as llvm

    monkeypatch.delattr(llvm, "create_pass_builder")
    machine.usable.cache_clear(), machine.trouble.cache_clear()
    given = Given((4, 16), (3, 4), soft=False)
    with pytest.warns(UserWarning, match="masks are applied by torch: .*create_pass_builder"):
        assert not masking.scale(given.weights, given.mask, given.size, given.out)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert not masking.scale(given.weights, given.mask, given.size, given.out)
    assert "makes no machine code" in backends.refusal("llvm", "cpu", torch.float32, (32, 32))
    monkeypatch.undo()
    machine.usable.cache_clear(), machine.trouble.cache_clear()
    assert machine.usable()
