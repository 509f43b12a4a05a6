"""The KV cache: pages of one pool, and which of them hold each sequence. Without paging a sequence is one page."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from codesign.errors import CodesignError
from codesign_dialects.transformer import KVCacheType
from codesign_numpy.buffers import Floats

NOWHERE = -1
"""In a page table: a block that has no page."""


@dataclass(frozen=True, eq=False)
class KVCache:
    """Keys and values of all layers, ``[layers, pages, KV heads, page, size]`` each; in a latent cache the values are a
    view of the keys' first features. Block b of sequence s lies in page ``table[s, b]``, of all layers alike."""

    keys: Floats
    values: Floats
    table: NDArray[np.int64]

    @property
    def page(self) -> int:
        """Tokens of a page."""
        return self.keys.shape[3]

    @property
    def heads(self) -> int:
        """KV heads."""
        return self.keys.shape[2]

    def write(self, layer: int, sequence: int, first: int, keys: Floats, values: Floats) -> None:
        """Store ``[KV heads, tokens, size]`` from position `first` on; a latent cache takes whole keys. What lies in
        blocks without a page is padding and goes nowhere."""
        start, stop = first, first + keys.shape[1]
        while start < stop:
            block, offset = divmod(start, self.page)
            end = min(stop, (block + 1) * self.page)
            page = self.table[sequence, block]
            if page != NOWHERE:
                own, place = slice(start - first, end - first), slice(offset, offset + end - start)
                self.keys[layer, page, :, place] = keys[:, own]
                if not self.latent:
                    self.values[layer, page, :, place] = values[:, own]
            start = end

    def read(self, layer: int, sequence: int, first: int, stop: int) -> tuple[Floats, Floats]:
        """Keys and values ``[KV heads, tokens, size]`` of positions `first` … `stop` - 1, which some page holds: a view
        where they lie in one page."""
        block, last = first // self.page, (stop - 1) // self.page
        own = slice(first - block * self.page, stop - block * self.page)
        if block == last:
            page = self.table[sequence, block]
            return self.keys[layer, page, :, own], self.values[layer, page, :, own]
        # Only padding sees a block without a page, and nobody sees what becomes of padding.
        pages = np.maximum(self.table[sequence, block : last + 1], 0)
        keys = _side_by_side(self.keys[layer, pages])[:, own]
        if self.latent:
            return keys, keys[..., : self.values.shape[-1]]
        return keys, _side_by_side(self.values[layer, pages])[:, own]

    @property
    def latent(self) -> bool:
        """Whether values are a part of the keys."""
        return self.values.base is self.keys


def _side_by_side(pages: Floats) -> Floats:
    """``[pages, KV heads, page, size]`` as ``[KV heads, tokens, size]``."""
    return pages.swapaxes(0, 1).reshape(pages.shape[1], -1, pages.shape[3])


class Pool:
    """A cache, and the pages of it that are free: sequences take them as they grow.

    Memory is taken when a page is first written.
    """

    def __init__(self, type: KVCacheType, batch: int, context: int):
        page = type.page.data or context
        blocks = type.blocks(context)
        pages = batch * blocks if type.pages.data < 0 else type.pages.data
        shape = (type.layers.data, pages, type.heads.data, page, type.size.data)
        keys = np.zeros(shape, np.float32)
        values = keys[..., : type.values.data] if type.latent else np.zeros(shape, np.float32)
        self.cache = KVCache(keys, values, np.full((batch, blocks), NOWHERE, np.int64))
        self._free = list(reversed(range(pages)))
        if not type.page.data:
            self.grow(np.full(batch, context))

    def grow(self, tokens: NDArray[np.int64]) -> None:
        """Give each sequence pages for so many `tokens`.

        Raises
        ------
        CodesignError
            When there are not as many free; then none is taken.
        """
        table, page = self.cache.table, self.cache.page
        missing = [
            (sequence, block)
            for sequence, count in enumerate(tokens.tolist())
            for block in range(-(-count // page))
            if table[sequence, block] == NOWHERE
        ]
        if len(missing) > len(self._free):
            raise CodesignError(
                f"the KV cache is full: {len(missing)} pages of {page} tokens are needed, {len(self._free)} of "
                f"{self.cache.keys.shape[1]} are free (short by {len(missing) - len(self._free)})"
            )
        for sequence, block in missing:
            table[sequence, block] = self._free.pop()

    def release(self, sequence: int) -> None:
        """Free the pages of a sequence."""
        row = self.cache.table[sequence]
        self._free.extend(reversed(row[row != NOWHERE].tolist()))
        row[:] = NOWHERE

    @property
    def nbytes(self) -> int:
        """Bytes of the pages that sequences hold."""
        cache = self.cache
        page = cache.keys[:, 0].nbytes + (0 if cache.latent else cache.values[:, 0].nbytes)
        return page * int(np.count_nonzero(cache.table != NOWHERE))
