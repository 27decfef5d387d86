"""The masks of a network as a picture that is small enough to be kept: shares of squares.

A square is as many weights wide as makes SQUARES of the narrowest matrix, in a power of two: blocks
of any such size are seen, of single weights how many of a square live.
"""

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from prune.masks.layout import matrix
from prune.masks.pruner import Pruner

SQUARES = 64  # at most, along the shortest side of any matrix


def picture(pruner: Pruner) -> dict[str, NDArray[np.uint8]]:
    """Matrix -> (rows, columns) of its squares, 0 where all is dead and 255 where all lives.

    Of the weights as they stand in the model, so after `finish` of those that are shipped.
    """
    live = {slot.name: matrix(slot.module, slot.weight.data) != 0 for slot in pruner.slots}
    shortest = min((min(mask.shape) for mask in live.values()), default=1)
    side = 2 ** max(0, math.ceil(math.log2(shortest / SQUARES)))
    return {name: _shares(mask, side) for name, mask in live.items()}


def _shares(live: Tensor, side: int) -> NDArray[np.uint8]:
    """live: (out, in). Squares at the edges may be smaller."""
    means = nn.functional.avg_pool2d(live[None].float(), side, ceil_mode=True)[0]
    # What lives is never rounded to nothing.
    found: NDArray[np.uint8] = torch.ceil(255 * means).clamp(max=255).byte().cpu().numpy()
    return found
