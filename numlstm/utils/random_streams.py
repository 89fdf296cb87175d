"""Random draws keyed by what they are for, never by what was drawn before.

A run that was stopped and resumed draws what the unbroken run would have drawn.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from numlstm.utils import checks

# what a draw is for: part of its key
(
    INITIAL, SHUFFLE, LAYERS, INPUTS, STATES, RECURRENT, WEIGHTS, ZONEOUT_H, ZONEOUT_C,
    MEMBERS, SAMPLING, SPLIT, BATCHES,
) = range(13)  # fmt: skip

_BLOCK = 4  # 64-bit numbers that Philox makes of one value of its counter
_IN_CACHE = 2**14  # of them are drawn at once: new memory costs as much as the numbers


def new_seed(rng: Any) -> int:
    """A seed from None, an int, a SeedSequence or a Generator, as in SPEC 7."""
    return int(generator(rng).integers(2**63))


def generator(rng: Any) -> np.random.Generator:
    """A generator from what SPEC 7 allows; everything else is refused with what was received."""
    try:
        if isinstance(rng, (bool, np.bool_)):
            raise TypeError
        return np.random.default_rng(rng)
    except (TypeError, ValueError) as error:
        raise type(error)(
            f"rng must be None, an integer >= 0 or a numpy.random.Generator, received "
            f"{checks.shown(rng)}"
        ) from None


class RandomStreams:
    """Independent streams of one seed: Philox (Salmon et al. 2011), a counter-based generator."""

    def __init__(self, seed: int):
        self._key = np.random.SeedSequence(seed).generate_state(2, np.uint64)

    @property
    def key(self) -> tuple[int, int]:
        """The two words of the generator's key."""
        first, second = map(int, self._key)
        return first, second

    def stream(self, purpose: int, index: int = 0, part: int = 0) -> np.random.Generator:
        """The generator for one purpose at one place, e.g. an epoch, or an update and a layer."""
        return np.random.Generator(self._philox(purpose, index, part))

    def bits(
        self, purpose: int, index: int, part: int, rows: int, count: int
    ) -> Iterator[np.ndarray]:
        """Uniform 16-bit numbers, (rows, count), in blocks of some rows.

        Row r is made of n counters of a stream, from r n on, so that any row can be drawn by
        itself, wherever the arithmetic runs. Of 16 bits, because drawing is what a mask costs.
        """
        words = -(-count // (4 * _BLOCK)) * _BLOCK
        philox, at_once = self._philox(purpose, index, part), max(1, _IN_CACHE // max(1, words))
        for start in range(0, rows, at_once):
            block = min(at_once, rows - start)
            raw = philox.random_raw(block * words).astype("<u8", copy=False)
            yield raw.view("<u2").reshape(block, 4 * words)[:, :count]

    def _philox(self, purpose: int, index: int, part: int) -> np.random.Philox:
        # the generator counts in the first word; the others tell the streams apart
        counter = np.array([0, part, index, purpose], dtype=np.uint64)
        return np.random.Philox(key=self._key, counter=counter)
