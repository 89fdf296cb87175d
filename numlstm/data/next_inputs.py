"""Whether targets are the next inputs."""

import numpy as np

from numlstm.utils.types import Array

_PRECISIONS = ("float16", "float32", "float64")


class NextInputs:
    """Compares targets with the inputs of the next step, which come in pieces.

    One of both may have been rounded before, so that they are compared in the narrowest type that
    holds all targets, or all inputs, whatever theirs is: float16 is read as float32.
    """

    def __init__(self) -> None:
        self.count = 0
        self._equal: tuple[str, ...] = _PRECISIONS  # those in which they have been the same
        self._left = dict.fromkeys(_PRECISIONS, False)  # whether not all are 0 in it
        self._kept = [dict.fromkeys(_PRECISIONS, True) for _ in range(2)]  # whether it holds all
        self._some = False  # whether not all are 0

    def add(self, targets: Array, inputs: Array) -> None:
        """More targets (n,), and the inputs (n,) that they may be."""
        self.count += targets.size
        for number, name in enumerate(self._equal):
            with np.errstate(over="ignore"):
                rounded = targets.astype(name), inputs.astype(name)
            if not np.array_equal(rounded[0], rounded[1]):  # nor are they in what holds more digits
                self._equal = self._equal[:number]
                break
            self._left[name] |= bool(rounded[0].any())
            for kept, given, part in zip(self._kept, (targets, inputs), rounded, strict=True):
                kept[name] = kept[name] and np.array_equal(given, part)
        self._some = self._some or bool(targets.any() or inputs.any())

    @property
    def same(self) -> bool:
        """Whether they are the same numbers, of none too."""
        narrowest = (next(name for name in kept if kept[name]) for kept in self._kept)
        name = min(narrowest, key=_PRECISIONS.index)
        nothing_left = self._some and not self._left[name]  # numbers below that precision
        return name in self._equal and not nothing_left
