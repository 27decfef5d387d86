"""Hydra's own command line around one run: --cfg, --info, --help, -m, --config-dir, completion."""

import os
import re
import sys
from collections.abc import Callable, Sequence
from typing import Any

from prune.compose import CONFIG_NAME, build, conf_dir, normalise, one_line
from prune.config import RunConfig
from prune.errors import ConfigError


def run_app(run: Callable[[RunConfig, list[str]], object], argv: Sequence[str]) -> None:
    """Hydra's own command line (--cfg, --info, --help, -m, --config-dir, completion) around `run`.

    `run` gets each config and its overrides, once all are known to be right: Hydra is done by then,
    so a run may compose what it needs. Raises ConfigError for what Hydra refuses.
    """
    import hydra
    from hydra.core.hydra_config import HydraConfig
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    jobs: list[tuple[RunConfig, list[str]]] = []

    def task(composed: Any) -> None:
        given = [o.removeprefix("++") for o in HydraConfig.get().overrides.task]
        try:
            jobs.append((build(composed), given))
        except ConfigError as error:
            problems.extend(error.problems)

    problems: list[str] = []
    asked = [] if "-sc" in argv else argv  # `-sc query=bash`: completion, not an override
    overrides = [a for a in asked if re.match(r"[~+\w]", a) and "=" in a]
    ready = dict(zip(overrides, normalise(overrides, _config_dir(argv)), strict=True))
    os.environ["HYDRA_FULL_ERROR"] = "1"  # exceptions reach us, and become one line
    sys.argv = ["prune train", *(ready.get(a, a) for a in argv)]
    try:
        hydra.main(config_path=str(conf_dir()), config_name=CONFIG_NAME, version_base="1.3")(task)()
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(one_line(error)) from error
    if problems:
        raise ConfigError(problems)
    for config, given in jobs:
        run(config, given)


def _config_dir(argv: Sequence[str]) -> str | None:
    for flag, value in zip(argv, [*argv[1:], None], strict=True):
        if flag in ("--config-dir", "-cd"):
            return value
        if flag.startswith("--config-dir="):
            return flag.partition("=")[2]
    return None
