"""What one override of a sweep stands for, in Hydra's grammar: a list of values, or an interval."""

from prune.compose import one_line
from prune.errors import ConfigError, unknown


def sweep_values(override: str) -> list[str] | None:
    """The values of `key=choice(a,b)`, `key=range(1,4)` or `key=a,b`; None if it has just one.

    Raises ConfigError if it is not Hydra's grammar, or has no finite list of values.
    """
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    try:
        parsed = OverridesParser.create().parse_override(override)
        if not parsed.is_sweep_override():
            return None
        if parsed.is_choice_sweep() or parsed.is_range_sweep():
            return [str(value) for value in parsed.sweep_string_iterator()]
    except HydraException as error:
        raise ConfigError(f"{override}: {one_line(error)}") from error
    raise ConfigError(
        f"{override}: a grid needs choice(a,b,...), range(start,stop,step) or a,b; "
        "for all that lies between, sampler=tpe and trials=N"
    )


def interval(override: str) -> tuple[float, float, bool] | None:
    """Low, high and whether by its logarithm, of `key=interval(low,high)`; None if it is none.

    `int(interval(1,8))` has whole ends, `tag(log,interval(1e-5,1e-3))` is by its logarithm.
    Raises ConfigError if it is not Hydra's grammar.
    """
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.core.override_parser.types import IntervalSweep
    from hydra.errors import HydraException

    try:
        value = OverridesParser.create().parse_override(override).value()
    except HydraException as error:
        raise ConfigError(f"{override}: {one_line(error)}") from error
    if not isinstance(value, IntervalSweep):
        return None
    low, high = value.start, value.end
    if low is None or high is None or not low < high or ("log" in value.tags and low <= 0):
        raise ConfigError(f"{override}: the ends must be rising, and above 0 for a logarithm")
    if unknown_tags := value.tags - {"log"}:
        raise ConfigError(f"{override}: {unknown('tag', min(unknown_tags), ['log'])}")
    return low, high, "log" in value.tags
