"""A sweep file and the command line -> points. A point is a list of overrides.

    description: one line for people
    experiment: toy                  # what every point starts from
    base: [schedule.penalty=0]       # overrides of every point
    space:
      attention.block: choice(1x1, 32x32)        # Hydra's grammar; 32x32 is short for [32,32]
      family:                                    # overrides that move together, by a name
        heads: attention=heads ffn=neurons
        ffn only: attention=dense ffn=neurons
    slots: 2                         # also threads, max_retries; and how to search: see search.py

On the command line `key=a,b` is an axis and `key=value` holds for all points; both win over the
file's. The points of a grid are the product of the axes, the last one running fastest; for a
sampler an axis may be an interval(low,high), int(interval(1,8)) or tag(log,interval(1e-5,1e-3)).
"""

import dataclasses
import itertools
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml

from prune.compose import conf_dir, groups
from prune.errors import ConfigError, UsageError, unknown
from prune.grammar import interval, sweep_values
from sweeps import launcher as launching
from sweeps import search as searching
from sweeps.launcher import Launcher, launcher
from sweeps.search import Search, search

SETTINGS = {"slots": 1, "threads": 1, "max_retries": 0, "timeout_s": 1, "memory_mb": 1, "warm": 0}
# Above: what is no config key -> its smallest value.
KEYS = ("description", "experiment", "base", "space", *SETTINGS, *searching.KEYS, *launching.KEYS)
DIGITS = 4  # of a value from an interval: what a person would type


@dataclass(frozen=True)
class Interval:
    low: float  # whole numbers if the value is one
    high: float
    log: bool = False

    @property
    def whole(self) -> bool:
        return isinstance(self.low, int) and isinstance(self.high, int)

    def text(self, value: float) -> str:
        return str(round(value)) if self.whole else f"{value:.{DIGITS}g}"


@dataclass(frozen=True)
class Axis:
    """One direction of the space: label -> the overrides it stands for; or all of an interval."""

    name: str
    values: dict[str, list[str]] = field(default_factory=dict)
    interval: Interval | None = None

    def chosen(self, value: Any) -> tuple[str, list[str]]:
        """Label and overrides of one value: a label, or a number of the interval."""
        if self.interval is None:
            return str(value), self.values[str(value)]
        text = self.interval.text(float(value))
        return text, [f"{self.name}={text}"]


@dataclass(frozen=True)
class Point:
    labels: dict[str, str]  # axis -> label
    overrides: list[str]


@dataclass(frozen=True)
class Space:
    name: str
    description: str = ""
    base: list[str] = field(default_factory=list)
    axes: list[Axis] = field(default_factory=list)
    fixed: list[str] = field(default_factory=list)  # from the command line, for all points
    settings: dict[str, int] = field(default_factory=dict)
    group: str = ""  # folder below runs/, if not the name of the sweep
    search: Search = field(default_factory=Search)
    launcher: Launcher = field(default_factory=Launcher)

    def points(self) -> list[Point]:
        """The product of the axes, in the order of the file."""
        names = [axis.name for axis in self.axes]
        return [
            self.at(dict(zip(names, labels, strict=True)))
            for labels in itertools.product(*(axis.values for axis in self.axes))
        ]

    def at(self, values: Mapping[str, Any]) -> Point:
        """The point with these values: a label, or a number of an interval, for every axis."""
        chosen = {axis.name: axis.chosen(values[axis.name]) for axis in self.axes}
        return Point(
            labels={name: label for name, (label, _) in chosen.items()},
            overrides=merged(
                [*self.base, *itertools.chain(*(o for _, o in chosen.values())), *self.fixed]
            ),
        )


def read(name: str, overrides: Sequence[str] = ()) -> Space:
    """The sweep `name` of the YAML tree, changed by the command line. Raises ConfigError."""
    if name not in names():
        raise UsageError(unknown("sweep", name, names()))
    return changed(parse(name, _content(name)), overrides)


def names() -> list[str]:
    """The sweeps of the YAML tree."""
    return groups().get("sweep", [])


def description(name: str) -> str:
    content = _content(name)
    return str(content.get("description", "")) if isinstance(content, dict) else ""


def parse(name: str, content: Any) -> Space:
    """The content of a sweep file, checked."""
    if not isinstance(content, dict) or not isinstance(content.get("space"), dict):
        raise ConfigError(f"sweep {name}: needs `space:` with at least one axis")
    if problems := [unknown("key", key, KEYS) for key in content if key not in KEYS]:
        raise ConfigError([f"sweep {name}: {problem}" for problem in problems])
    base = [f"experiment={content['experiment']}"] if "experiment" in content else []
    how = search(content)
    return Space(
        name=name,
        description=str(content.get("description", "")),
        base=merged([*base, *map(str, content.get("base", []))]),
        axes=[axis(str(key), value, how.samples) for key, value in content["space"].items()],
        search=how,
        launcher=launcher(content),
        settings={key: _setting(key, content[key]) for key in SETTINGS if key in content},
    )


def axis(name: str, value: Any, sampled: bool = False) -> Axis:
    """One entry of `space:`: a sweep of one key, or names with the overrides they stand for."""
    if isinstance(value, dict):
        return Axis(name, {str(label): _together(o) for label, o in value.items()})
    if sampled and (ends := interval(f"{name}={value}")):
        return Axis(name, interval=Interval(*ends))
    values = sweep_values(f"{name}={value}") or [str(value)]
    return Axis(name, {value: [f"{name}={_block(name, value)}"] for value in map(_short, values)})


def changed(space: Space, overrides: Sequence[str]) -> Space:
    """`space` with the overrides of the command line: settings, axes, and plain ones for all."""
    how = {key: value for key, _, value in map(_split, overrides) if key in searching.KEYS}
    known = dataclasses.asdict(space.search) | {"constraints": map(str, space.search.constraints)}
    asked = search({**known, **how}) if how else space.search
    axes = {axis.name: axis for axis in space.axes}
    settings, fixed, group = dict(space.settings), [], space.group
    who = space.launcher.changed([o for o in overrides if launching.ours(_split(o)[0])])
    for override in overrides:
        key, _, value = _split(override)
        if key in SETTINGS:
            settings[key] = _setting(key, value)
        elif key == "group":
            group = value
        elif launching.ours(key) or key in searching.KEYS:
            continue
        elif "interval(" in value or sweep_values(override) is not None:
            axes[_key(override)] = axis(_key(override), value, asked.samples)
        else:
            axes.pop(_key(override), None)
            fixed.append(override)
    found = [*axes.values()]
    if not asked.samples and (endless := [a.name for a in found if a.interval]):
        raise ConfigError(f"a grid needs choice, range or a,b for {endless[0]}, not an interval")
    return dataclasses.replace(
        space,
        axes=found,
        fixed=fixed,
        settings=settings,
        group=group,
        search=asked,
        launcher=who,
    )


def _split(override: str) -> tuple[str, str, str]:
    return override.partition("=")


def merged(overrides: Iterable[str]) -> list[str]:
    """One override a key: a later one takes the place of an earlier one."""
    found: dict[str, str] = {}
    for override in overrides:
        key = _key(override)
        found[key] = f"+{override.lstrip('+')}" if key == "experiment" else override
    return list(found.values())


def _content(name: str) -> Any:
    file = conf_dir() / "sweep" / f"{name}.yaml"
    try:
        return yaml.safe_load(file.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise ConfigError(f"{file}: {' '.join(str(error).split())}") from error


def _together(value: Any) -> list[str]:
    return list(map(str, value)) if isinstance(value, list) else shlex.split(str(value))


def _key(override: str) -> str:
    return override.lstrip("+").partition("=")[0]


def _short(value: str) -> str:
    """[32,32] is shown as 32x32."""
    return re.sub(r"^\[(\d+), ?(\d+)\]$", r"\1x\2", value)


def _block(key: str, value: str) -> str:
    return re.sub(r"^(\d+)x(\d+)$", r"[\1,\2]", value) if key.endswith(".block") else value


def _setting(key: str, value: Any) -> int:
    try:
        number = int(value)
    except (TypeError, ValueError):
        number = -1
    if number < SETTINGS[key]:
        raise UsageError(f"{key}={value} must be a whole number of at least {SETTINGS[key]}")
    return number
