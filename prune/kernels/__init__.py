"""Block-sparse linear algebra: `BlockSparseLinear`, and what carries it; the passes of masks.

sparse_linear, convert      the layer; a model's layers made such
operator                    forward and gradients, in eager mode and for torch.compile
backends                    which of the four serves; `auto`
reference, rows             in plain torch, everywhere
llvm, triton                kernels for the CPU and for CUDA
layout, pattern             where the live blocks lie; which they are
masking, soft_masks         masks applied, and made, in one pass over memory on a CPU
"""

from prune.kernels.sparse_linear import BlockSparseLinear

__all__ = ["BlockSparseLinear"]
