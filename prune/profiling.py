"""Measures a machine's latency table: small networks of many shapes, each beside one reference.

Run as a program, it measures the setting that it is given as JSON and prints the profile as JSON:
every setting gets a fresh process.
"""

import dataclasses
import json
import statistics
import subprocess
import sys
from collections.abc import Sequence

import torch
from transformers import BertConfig, BertModel

from prune.artifact import checkpoint
from prune.errors import PruneError
from prune.speed import measure
from prune.speed.latency import Curve, Profile, Setting, rising
from prune.speed.machine import best_device

FEW = 2  # layers of the networks that are measured; the difference to twice as many is the layers'
HEADS = (1 / 12, 1 / 4, 1 / 2, 3 / 4, 1)  # shares of the dense network's
NEURONS = (1 / 48, 1 / 16, 1 / 8, 1 / 4, 1 / 2, 3 / 4, 1)
ROUNDS = 7
WHOLE = ((0.9, 0.4), (0.6, 0.2), (0.4, 0.1))  # shares of whole networks the factor is fitted on


def profile(setting: Setting, layers: int = 12) -> Profile:
    """Measure one setting, here and now. About two minutes on a CPU."""
    return measured(Bench(setting), layers)


def measured(bench: "Bench", layers: int = 12) -> Profile:
    """The profile of a bench's setting, in its milliseconds."""
    torch.manual_seed(0)
    setting = bench.setting
    most_heads, most_neurons = setting.hidden // setting.head_size, 4 * setting.hidden
    least = bench.time([0] * FEW, [0] * FEW)
    base = (bench.time([0] * 2 * FEW, [0] * 2 * FEW) - least) / FEW
    heads: Curve = [(0, 0.0)]
    for kept in _counts(HEADS, most_heads):
        heads.append((kept, (bench.time([kept] * FEW, [0] * FEW) - least) / FEW))
    neurons: Curve = [(0, 0.0)]
    for kept in _counts(NEURONS, most_neurons, odd=True):
        neurons.append((kept, (bench.time([0] * FEW, [kept] * FEW) - least) / FEW))
    found = Profile(setting, least - FEW * base, base, rising(heads), rising(neurons))
    seen = []
    for head_share, neuron_share in WHOLE:
        # Uneven, as pruned networks are: more in the first layers.
        shape = [
            [round(share * most * (1.3 - 0.6 * i / (layers - 1))) for i in range(layers)]
            for share, most in ((head_share, most_heads), (neuron_share, most_neurons))
        ]
        kept_heads = [min(most_heads, max(1, n)) for n in shape[0]]
        seen.append((kept_heads, shape[1], bench.time(kept_heads, shape[1])))
    return found.fitted(seen).times(bench.unit_ms())


def _counts(shares: Sequence[float], most: int, odd: bool = False) -> list[int]:
    """Rising from 1 to `most`. odd: widths that are left are seldom round, and those are faster."""
    rounded = [round(share * most) for share in shares]
    return sorted({n | 1 if odd and n < most else n for n in rounded if n} | {most})


def in_fresh_process(setting: Setting) -> Profile:
    """`profile` in a process of its own. Raises PruneError with its last line if it fails."""
    command = [sys.executable, "-P", "-m", "prune.profiling", json.dumps(asdict(setting))]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no word"])[-1]
        raise PruneError(f"measuring {setting} failed: {last}")
    fields = json.loads(done.stdout)
    curves = {name: [(int(x), float(y)) for x, y in fields[name]] for name in ("heads", "neurons")}
    return Profile(**(fields | curves | {"setting": setting}))


def asdict(item: Setting | Profile) -> dict[str, object]:
    return dataclasses.asdict(item)


class Bench:
    """Times networks of any shape, each beside the same reference, whose time is the unit.

    So what was measured early and late can be compared, however the machine's speed has drifted.
    """

    def __init__(self, setting: Setting) -> None:
        torch.set_num_threads(setting.threads)
        self.setting = setting
        self.reference = self._network([1] * FEW, [setting.hidden] * FEW)
        self.reference_ms: list[float] = []

    def time(self, heads: Sequence[int], neurons: Sequence[int]) -> float:
        """Of a forward pass, in times of the reference."""
        network, setting = self._network(heads, neurons), self.setting
        cell = measure.latency(self.reference, network, setting.batch, setting.length, ROUNDS)
        self.reference_ms.append(cell.dense_ms)
        return 1 / cell.speedup

    def unit_ms(self) -> float:
        """Milliseconds of the reference, as seen so far."""
        return statistics.median(self.reference_ms)

    def _network(self, heads: Sequence[int], neurons: Sequence[int]) -> BertModel:
        setting = self.setting
        config = BertConfig(
            vocab_size=1000,
            hidden_size=setting.hidden,
            num_attention_heads=setting.hidden // setting.head_size,
            intermediate_size=4 * setting.hidden,
            num_hidden_layers=len(heads),
            max_position_embeddings=max(512, setting.length),
        )
        model = BertModel(config, add_pooling_layer=False)
        checkpoint.reshape(model, checkpoint.Shape(list(heads), list(neurons)))
        device = best_device()
        model.to(device, getattr(torch, setting.dtype))  # type: ignore[arg-type]
        model.train(False)
        return model


if __name__ == "__main__":
    print(json.dumps(asdict(profile(Setting(**json.loads(sys.argv[1]))))))
