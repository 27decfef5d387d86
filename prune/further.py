"""A network that was pruned before: targets are shares of the dense one that it once was."""

from dataclasses import replace

from transformers import PreTrainedModel

from prune.config import RunConfig
from prune.errors import ConfigError
from prune.masks.policy import Policy, resolve


def left_of_dense(model: PreTrainedModel, dense: PreTrainedModel, policy: Policy) -> float:
    """Weights that `model` stores where `policy` prunes / those of the dense network there."""

    def weights(network: PreTrainedModel) -> int:
        names = {site.module for site in resolve(network, policy)}
        return sum(network.get_parameter(f"{name}.weight").numel() for name in names)

    now, once = weights(model), weights(dense)
    return now / once if once else 1.0


def further(config: RunConfig, left: float) -> RunConfig:
    """With `target.density` as a share of what is left.

    Raises ConfigError for a density that the network has before it is pruned.
    """
    density = config.target.density
    if density is None or left == 1:
        return config
    if density >= left:
        raise ConfigError(
            f"target.density={density:g} is met before pruning: the network stores {left:.3g} of "
            "the dense one's weights; ask for less"
        )
    return replace(config, target=replace(config.target, density=density / left))
