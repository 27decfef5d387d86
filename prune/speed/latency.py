"""A machine's latency table for encoder layers, and the time of a whole network predicted from it.

A layer costs a base, plus what its heads cost, plus what its neurons cost; each of the two is a
curve that was measured at a few places and is followed in straight lines between them. What is
outside of the layers costs a constant. One factor, fitted on whole networks, takes what is left.
"""

import bisect
import dataclasses
import hashlib
import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from prune.errors import StoreError

FORMAT = 1
Curve = list[tuple[int, float]]  # units -> ms a layer, rising in units


@dataclass(frozen=True)
class Setting:
    """What a table holds for. Time depends on all of it."""

    hidden: int
    head_size: int
    batch: int
    length: int  # tokens
    dtype: str = "float32"
    runtime: str = "eager"
    threads: int = 1


@dataclass(frozen=True)
class Profile:
    """Milliseconds: of what is outside of the layers, of a bare layer, of its heads and neurons."""

    setting: Setting
    outside_ms: float
    base_ms: float
    heads: Curve
    neurons: Curve
    factor: float = 1.0
    residual: float = 0.0  # largest relative error on the networks that the factor was fitted on

    def layer_ms(self, heads: int, neurons: int) -> float:
        return self.factor * (self.base_ms + at(self.heads, heads) + at(self.neurons, neurons))

    def predict_ms(self, heads: Sequence[int], neurons: Sequence[int]) -> float:
        """Of a forward pass of a network with these heads and neurons in each layer."""
        layers = zip(heads, neurons, strict=True)
        return self.factor * self.outside_ms + sum(self.layer_ms(h, n) for h, n in layers)

    def times(self, unit: float) -> "Profile":
        """The same in a unit that is `unit` times as small."""
        return dataclasses.replace(
            self,
            outside_ms=unit * self.outside_ms,
            base_ms=unit * self.base_ms,
            heads=[(units, unit * ms) for units, ms in self.heads],
            neurons=[(units, unit * ms) for units, ms in self.neurons],
        )

    def fitted(self, seen: Sequence[tuple[Sequence[int], Sequence[int], float]]) -> "Profile":
        """With the factor that fits whole networks best: (heads, neurons, ms) of each."""
        plain = dataclasses.replace(self, factor=1.0)
        ratios = sorted(ms / plain.predict_ms(heads, neurons) for heads, neurons, ms in seen)
        factor = (ratios[0] * ratios[-1]) ** 0.5  # the largest relative error is as small as can be
        return dataclasses.replace(self, factor=factor, residual=ratios[-1] / factor - 1)


def at(curve: Curve, units: int) -> float:
    """The curve at `units`, in a straight line between its two neighbours; 0 at 0."""
    points = curve if curve and curve[0][0] == 0 else [(0, 0.0), *curve]
    right = min(max(1, bisect.bisect_left(points, (units, float("-inf")))), len(points) - 1)
    (x0, y0), (x1, y1) = points[right - 1], points[right]
    return y0 + (y1 - y0) * (units - x0) / (x1 - x0)


def rising(curve: Curve) -> Curve:
    """The nearest curve that never falls and starts at 0: more units never take less time.

    What falls is noise: neighbours that do get their mean (isotonic regression).
    """
    levels: list[tuple[float, int]] = []  # sum and number of neighbours at one level
    for _, ms in curve:
        levels.append((max(0.0, ms), 1))
        while len(levels) > 1 and levels[-2][0] / levels[-2][1] > levels[-1][0] / levels[-1][1]:
            (total, count), (more, others) = levels[-2:]
            levels[-2:] = [(total + more, count + others)]
    flat = [total / count for total, count in levels for _ in range(count)]
    return [(units, ms) for (units, _), ms in zip(curve, flat, strict=True)]


def fingerprint(device: str) -> str:
    """Eight hex digits of what the device is: a table of one is of no use on another."""
    words = (device, platform.machine(), platform.system(), str(os.cpu_count()))
    return hashlib.sha256("\0".join(words).encode()).hexdigest()[:8]


def load(path: Path) -> dict[Setting, Profile]:
    """The profiles kept in a file; none if it is not there. Raises StoreError if it is broken."""
    if not path.exists():
        return {}
    try:
        content = json.loads(path.read_text())
        if content["format"] != FORMAT:
            raise StoreError(f"{path}: format {content['format']} is not {FORMAT}: delete it")
        found = [_profile(entry) for entry in content["profiles"]]
    except (ValueError, KeyError, TypeError) as error:
        raise StoreError(f"{path} cannot be read ({error}): delete it, `prune profile`") from error
    return {profile.setting: profile for profile in found}


def save(path: Path, profiles: Mapping[Setting, Profile]) -> None:
    """Write aside and rename."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {"format": FORMAT, "profiles": [dataclasses.asdict(p) for p in profiles.values()]}
    aside = path.with_suffix(".partial")
    aside.write_text(json.dumps(content, indent=1) + "\n")
    os.replace(aside, path)


def _profile(entry: dict[str, object]) -> Profile:
    fields = dict(entry)
    fields["setting"] = Setting(**fields["setting"])  # type: ignore[arg-type]
    for name in ("heads", "neurons"):
        fields[name] = [(int(x), float(y)) for x, y in fields[name]]  # type: ignore[attr-defined]
    return Profile(**fields)  # type: ignore[arg-type]
