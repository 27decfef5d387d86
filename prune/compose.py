"""From YAML and overrides to one frozen RunConfig. The only door to Hydra and OmegaConf.

Overrides are written in Hydra's grammar. All problems are reported together, each with the choices;
so plain `key=value` overrides are given to Hydra as `++key=value`, which never fails there, and the
dataclasses decide which keys exist.
"""

import dataclasses
import difflib
import os
import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from prune import config as schema
from prune.config import RunConfig
from prune.errors import ConfigError, MissingInputError, unknown

CONFIG_NAME = "train"
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


def load(overrides: Sequence[str] = (), group: str = "single") -> RunConfig:
    """Compose and check one run; `group` is the folder its run goes to."""
    return load_many([overrides], group)[0]


def load_many(many: Sequence[Sequence[str]], group: str = "single") -> list[RunConfig]:
    """Like `load`, for many lists of overrides: Hydra is started once."""
    from hydra import compose, initialize_config_dir
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    configs = []
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        for overrides in many:
            try:
                composed = compose(CONFIG_NAME, overrides=normalise(overrides))
                configs.append(dataclasses.replace(build(composed), group=group))
            except (HydraException, OmegaConfBaseException) as error:
                raise ConfigError(one_line(error)) from error
    return configs


def normalise(overrides: Sequence[str], extra_dir: str | None = None) -> list[str]:
    """Overrides as Hydra needs them: `experiment=x` gets its plus, plain keys get two.

    Raises ConfigError with every group choice that does not exist.
    """
    known = groups(extra_dir)
    problems, result = [], []
    for override in overrides:
        match = re.match(r"^(~|\+{0,2})([\w/@.]+)(=(.*))?$", override, re.DOTALL)
        prefix, key, value = (match[1], match[2], match[4]) if match else ("", "", None)
        if key in known and prefix != "~":
            names = [value] if value and re.fullmatch(r"[\w-]+", value) else []
            problems += [unknown(key, n, known[key]) for n in names if n not in known[key]]
            result.append(f"+experiment={value}" if key == "experiment" else override)
        elif match and not prefix and value is not None and not key.startswith("hydra"):
            result.append("++" + override)
        elif match and prefix in ("+", "++") and "hydra" not in key:
            result.append("++" + override.lstrip("+"))
        else:
            result.append(override)
    if problems:
        raise ConfigError(problems)
    return result


def build(composed: Any) -> RunConfig:
    """A composed DictConfig -> a checked, frozen RunConfig. Raises ConfigError with every problem."""
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    content = OmegaConf.to_container(composed, resolve=True)
    assert isinstance(content, dict)
    target = OmegaConf.structured(RunConfig)
    _unlock(target)
    problems = []
    for key, value in _leaves(content):
        try:
            OmegaConf.update(target, key, value, merge=False)
        except OmegaConfBaseException as error:
            problems.append(_explain(key, value, error))
    if problems:
        raise ConfigError(problems)
    result = OmegaConf.to_object(target)
    assert isinstance(result, RunConfig)
    if problems := schema.problems(result):
        raise ConfigError(problems)
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
    """The run that `source` (`experiment:NAME [OVERRIDES]`) names, as seen from `config`."""
    name, *overrides = shlex.split(source.removeprefix(EXPERIMENT))
    needed = load([f"+experiment={name}", *overrides])
    changes: dict[str, Any] = {}
    if not any(re.match(r"\+*task[.=]", o) for o in overrides):
        changes["task"] = config.task
    if not any(re.match(r"\+*seed=", o) for o in overrides):
        changes["seed"] = config.seed
    own = config.model.name_or_path or ""
    if not own.startswith(EXPERIMENT) and not any(re.match(r"\+*model[.=]", o) for o in overrides):
        changes["model"] = config.model
    return dataclasses.replace(needed, **changes)


def one_line(error: Exception) -> str:
    """A message of Hydra's or OmegaConf's, without its search path and blank lines."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    kept = [line for line in lines if not re.match(r"provider=|Config search path|See https", line)]
    return " ".join(kept)


def _unlock(node: Any) -> None:
    # OmegaConf makes the nodes of frozen dataclasses read-only.
    from omegaconf import DictConfig, OmegaConf

    OmegaConf.set_readonly(node, False)
    for key in node:
        child = node._get_node(key)
        if isinstance(child, DictConfig) and not child._is_none():
            _unlock(child)


def _leaves(content: dict[str, Any], path: str = "") -> list[tuple[str, Any]]:
    found = []
    for key, value in content.items():
        name = f"{path}{key}"
        if isinstance(value, dict) and _is_section(name):
            found += _leaves(value, name + ".")
        else:
            found.append((name, value))
    return found


def _is_section(path: str) -> bool:
    """Whether `path` is one of our dataclasses (and not a free dictionary)."""
    return any(path == f.name and dataclasses.is_dataclass(f.type) for f in _sections())


def _sections() -> tuple[Any, ...]:
    return dataclasses.fields(RunConfig)


def _explain(key: str, value: Any, error: Exception) -> str:
    from omegaconf.errors import ConfigKeyError

    if not isinstance(error, ConfigKeyError | AttributeError):
        return f"{key}={value!r}: {one_line(error).split(' full_key')[0]}"
    known = known_keys()
    near = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
    section = key.rpartition(".")[0]
    siblings = [k for k in known if k.rpartition(".")[0] == section] or known
    hint = f"; did you mean {near[0]}?" if near else ""
    return f"unknown key {key!r}{hint} (keys there: {', '.join(siblings)})"


def known_keys() -> list[str]:
    """Every key of a run config, dotted."""
    keys = []
    for item in _sections():
        if dataclasses.is_dataclass(item.type):
            keys += [f"{item.name}.{inner.name}" for inner in dataclasses.fields(item.type)]
        else:
            keys.append(item.name)
    return keys


def runs_dir() -> Path:
    """Where run folders go: $PRUNE_RUNS, or `runs` in the current folder."""
    return Path(os.environ.get("PRUNE_RUNS", "runs"))
