"""From YAML and overrides to one frozen RunConfig. The only door to Hydra and OmegaConf.

Overrides are written in Hydra's grammar. All problems are reported together, each with the choices;
so plain `key=value` overrides are given to Hydra as `++key=value`, which never fails there, and the
dataclasses decide which keys exist.
"""

import copy
import dataclasses
import functools
import os
import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from prune import checks
from prune.config import RunConfig, known_keys
from prune.errors import ConfigError, MissingInputError, unknown

CONFIG_NAME = "train"
Bases = dict[tuple[str, ...], Any]  # group choices -> what Hydra composes of them
EXPERIMENT = "experiment:"  # a model or teacher that another run of ours makes


def conf_dir() -> Path:
    """The YAML tree: inside the installed package, or beside it in a checkout."""
    here = Path(__file__).resolve().parent
    for folder in (here / "conf", here.parent / "conf"):
        if (folder / f"{CONFIG_NAME}.yaml").is_file():
            return folder
    raise MissingInputError(f"the configuration folder is missing beside {here}: reinstall prune")


def groups(extra: str | None = None) -> dict[str, list[str]]:
    """Config groups (`experiment`, `task`, ...) -> the names one can choose."""
    found: dict[str, set[str]] = {}
    for root in filter(None, (str(conf_dir()), extra)):
        for file in sorted(Path(root).glob("*/*.yaml")):
            found.setdefault(file.parent.name, set()).add(file.stem)
    return {group: sorted(names) for group, names in sorted(found.items())}


def load(overrides: Sequence[str] = (), group: str | None = None) -> RunConfig:
    """Compose and check one run; `group`, if given, is the folder its run goes to."""
    return load_many([overrides], group)[0]


def load_many(
    many: Sequence[Sequence[str]], group: str | None = None, bases: Bases | None = None
) -> list[RunConfig]:
    """Like `load`, for many lists of overrides: Hydra composes each set of group choices once.

    `bases` keeps those for the next call. Raises one ConfigError with the problems of all of them.
    """
    from hydra import initialize_config_dir
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    configs: list[RunConfig] = []
    problems: list[str] = []
    bases = {} if bases is None else bases
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        for overrides in many:
            accepted, refused = _split(overrides)
            problems += refused
            try:
                config = build(_compose(accepted, bases))
                configs.append(dataclasses.replace(config, group=group or config.group))
            except ConfigError as error:
                problems += error.problems
            except (HydraException, OmegaConfBaseException, ValueError) as error:
                problems.append(one_line(error))  # Hydra raises a ValueError for ~GROUP=1
    if problems:
        raise ConfigError(list(dict.fromkeys(problems)))
    return configs


def _compose(overrides: Sequence[str], bases: Bases) -> Any:
    """Hydra's composition of `overrides`; `bases` keeps what the group choices alone gave.

    Composing takes Hydra 60 ms, and few points of a sweep differ in it: plain `++key=value`
    overrides act on the composed result only, so they are set in memory.
    """
    from hydra import compose
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from omegaconf import OmegaConf

    known = groups()
    parsed = OverridesParser.create().parse_overrides(list(overrides))
    values = [o for o in parsed if o.is_force_add()]
    if any(o.is_delete() or o.is_sweep_override() or o.package for o in parsed) or any(
        o.key_or_group in known for o in values
    ):
        return compose(CONFIG_NAME, overrides=list(overrides))
    choices = tuple(str(o.input_line) for o in parsed if not o.is_force_add())
    if choices not in bases:
        bases[choices] = compose(CONFIG_NAME, overrides=list(choices))
    composed = copy.deepcopy(bases[choices])
    for value in values:
        OmegaConf.update(composed, value.key_or_group, value.value(), merge=True, force_add=True)
    return composed


def normalise(overrides: Sequence[str], extra_dir: str | None = None) -> list[str]:
    """Overrides as Hydra needs them. ConfigError names every group choice that does not exist."""
    accepted, problems = _split(overrides, extra_dir)
    if problems:
        raise ConfigError(problems)
    return accepted


def _split(overrides: Sequence[str], extra_dir: str | None = None) -> tuple[list[str], list[str]]:
    """What Hydra needs (`experiment=x` with its plus, plain keys with two); what is wrong."""
    known = groups(extra_dir)
    problems, result = [], []
    for override in overrides:
        match = re.match(r"^(~|\+{0,2})([\w/@.]+)(?:=(.*))?$", override, re.DOTALL)
        prefix, key, value = match.groups() if match else ("", "", None)
        if key in known and prefix != "~":
            if value and re.fullmatch(r"[\w-]+", value) and value not in known[key]:
                problems.append(unknown(key, value, known[key]))
            else:
                result.append(f"+experiment={value}" if key == "experiment" else override)
        elif match and not prefix and value is not None and not key.startswith("hydra"):
            result.append("++" + override)
        elif match and prefix in ("+", "++") and "hydra" not in key:
            result.append("++" + override.lstrip("+"))
        else:
            result.append(override)
    return result, problems


def build(composed: Any) -> RunConfig:
    """A composed DictConfig -> a checked, frozen RunConfig. ConfigError names every problem."""
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    content = OmegaConf.to_container(composed, resolve=True)
    assert isinstance(content, dict)
    target = copy.deepcopy(_schema())
    found = []
    for key, value in _leaves(content):
        try:
            OmegaConf.update(target, key, value, merge=False)
        except OmegaConfBaseException as error:
            found.append(_explain(key, value, error))
    result = OmegaConf.to_object(target)
    assert isinstance(result, RunConfig)
    if found := found + checks.problems(result):
        raise ConfigError(found)
    return result


def needs(config: RunConfig) -> list[RunConfig]:
    """The runs this one starts from: its `experiment:` model and teacher, each composed.

    They see the same task and seed, and the same model unless they (or this run) name their own.
    """
    found: list[RunConfig] = []
    for source in (config.model.name_or_path, config.teacher.name_or_path):
        if source and source.startswith(EXPERIMENT):
            needed = needed_run(config, source)
            if needed not in found:
                found.append(needed)
    return found


def needed_run(config: RunConfig, source: str) -> RunConfig:
    """The run that `source` (`experiment:NAME [OVERRIDES]`) names, as seen from `config`.

    A bare NAME is the run that the model comes from, if that is of this NAME: `teacher=dense` then
    asks for no other dense network.
    """
    own = config.model.name_or_path or ""
    if own.startswith(f"{source} "):
        source = own
    name, *overrides = shlex.split(source.removeprefix(EXPERIMENT))
    same_task = not any(re.match(r"\+*task[.=]", o) for o in overrides)
    length = [f"task.max_length={config.task.max_length}"] * same_task  # measure.grid follows it
    needed = plain(f"+experiment={name}", *length, *overrides)
    changes: dict[str, Any] = {}
    if same_task:
        changes["task"] = config.task
    if not any(re.match(r"\+*seed=", o) for o in overrides):
        changes["seed"] = config.seed
    if not own.startswith(EXPERIMENT) and not any(re.match(r"\+*model[.=]", o) for o in overrides):
        changes["model"] = config.model
    return dataclasses.replace(needed, **changes)


@functools.cache
def plain(*overrides: str) -> RunConfig:
    """`load`, remembered: the points of a sweep start from one or two runs."""
    return load(overrides)


def one_line(error: Exception) -> str:
    """A message of Hydra's or OmegaConf's: what it is about, no search path, no blank lines."""
    override = str(getattr(error, "override", None) or "").lstrip("+")
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    kept = [line for line in lines if not re.match(r"provider=|Config search path|See https", line)]
    return f"{override}: " * bool(override) + " ".join(kept)


@functools.cache
def _schema() -> Any:
    """RunConfig for OmegaConf, its nodes writable: those of frozen dataclasses are not."""
    from omegaconf import DictConfig, OmegaConf

    nodes = [OmegaConf.structured(RunConfig)]
    for node in nodes:  # grows
        OmegaConf.set_readonly(node, False)
        children = [node._get_node(key) for key in node]
        nodes += [c for c in children if isinstance(c, DictConfig) and not c._is_none()]
    return nodes[0]


def _leaves(content: Mapping[Any, Any], path: str = "") -> list[tuple[str, Any]]:
    """Dotted keys and values; a free dictionary (`model.scratch`) is one value."""
    found = []
    for key, value in content.items():
        name = f"{path}{key}"
        nested = isinstance(value, dict) and value and name not in known_keys()
        found += _leaves(value, f"{name}.") if nested else [(name, value)]
    return found


def _explain(key: str, value: Any, error: Exception) -> str:
    from omegaconf.errors import ConfigKeyError

    if not isinstance(error, ConfigKeyError | AttributeError):
        return f"{key}={value!r}: {one_line(error).split(' full_key')[0]}"
    known, section = known_keys(), key.rpartition(".")[0]
    there = [k for k in known if section and k.rpartition(".")[0] == section]
    return unknown("key", key, there or {k.partition(".")[0] for k in known}, known)


def runs_dir() -> Path:
    """Where run folders go: $PRUNE_RUNS, or `runs` here."""
    return Path(os.environ.get("PRUNE_RUNS", "runs"))
