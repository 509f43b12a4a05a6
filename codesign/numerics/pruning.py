"""Which weights a sparse tensor keeps: in each group, or in each row, those of the greatest saliency."""

import numpy as np

from codesign.numerics.encoded import FormatError, Mask
from codesign.numerics.float32 import Floats
from codesign_dialects.encoding import Sparsity


def keep_salient(saliency: Floats, sparsity: Sparsity) -> Mask:
    """The mask of ``[…, in]``: of blocks their summed saliency counts, of equals the first is kept.

    Raises
    ------
    FormatError
        When the sparsity does not divide a row.
    """
    columns = saliency.shape[-1]
    if not sparsity.fits(columns):
        raise FormatError(f"sparsity {sparsity} does not divide an axis of {columns}")
    blocks = saliency.reshape(saliency.size // columns, -1, sparsity.block).sum(axis=-1)
    group = blocks.shape[1] if sparsity.row else sparsity.group
    kept = group * sparsity.kept // sparsity.group
    grouped = blocks.reshape(len(blocks), -1, group)
    order = np.argsort(-grouped, axis=-1, kind="stable")
    mask = np.zeros(grouped.shape, np.bool_)
    np.put_along_axis(mask, order[..., :kept], True, axis=-1)
    return np.repeat(mask.reshape(len(blocks), -1), sparsity.block, axis=1).reshape(saliency.shape)


def magnitude(weights: Floats) -> Floats:
    """Saliency by magnitude (Han et al., "Learning both Weights and Connections", 2015, section 3)."""
    return np.abs(weights)


def wanda(weights: Floats, moments: Floats) -> Floats:
    """Saliency ``|w| · ‖x‖`` of inputs with second `moments` (Sun et al., "Wanda", 2023, equation 1)."""
    return np.abs(weights) * np.sqrt(np.diag(moments))
