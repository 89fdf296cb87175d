"""Random draws keyed by what they are for, never by what was drawn before.

A run that was stopped and resumed draws what the unbroken run would have drawn.
"""

from typing import Any

import numpy as np

# what a draw is for: part of its key
INITIAL, SHUFFLE, DROPOUT = range(3)


def new_seed(rng: Any) -> int:
    """A seed from None, an int, a SeedSequence or a Generator, as in SPEC 7."""
    return int(np.random.default_rng(rng).integers(2**63))


class Draws:
    """Independent streams of one seed: Philox (Salmon et al. 2011), a counter-based generator."""

    def __init__(self, seed: int):
        self._key = np.random.SeedSequence(seed).generate_state(2, np.uint64)

    def stream(self, purpose: int, index: int = 0, part: int = 0) -> np.random.Generator:
        """The generator for one purpose at one place, e.g. an epoch, or an update and a layer."""
        # the generator counts in the first word; the others tell the streams apart
        counter = np.array([0, part, index, purpose], dtype=np.uint64)
        return np.random.Generator(np.random.Philox(key=self._key, counter=counter))
