"""What leaves the range of a dtype is refused: a sum that has overflowed has lost its sign.

A product beyond the largest number becomes an infinity, and what is added to that later counts for
nothing: gates would open that are shut. So inputs whose products with the weights may overflow are
refused before a pass, and results that are not finite after it.
"""

from typing import Any, NamedTuple

import numpy as np

from numlstm.architecture.parameters import split
from numlstm.architecture.spec import NetworkSpec, State
from numlstm.data.sequences import mask
from numlstm.model.inputs import ModelInputs
from numlstm.utils import checks
from numlstm.utils.types import Array

_LARGEST = {dtype: float(np.finfo(dtype).max) for dtype in checks.DTYPES}

# a compiled step takes inputs and states below `MODERATE`, its own constant: with weights below
# `_STEPPING`, a sum of as many products as it has at most, 3e5, is finite in float32
MODERATE, _STEPPING = 1e18, 1e15

_READ_INPUTS = ("weight_ih_l0", "weight_is_l0", "head_direct")

# their values lie between -1 and 1, and so do hidden states that they are in
_BOUNDED = ("sigmoid", "tanh", "hard_sigmoid", "softsign")


class Range(NamedTuple):
    """What a network with these parameters takes; made once for every theta, by `range_of`."""

    spec: NetworkSpec
    theta: Array  # (n,)
    largest: float  # magnitude in theta
    room: float  # inputs and states up to it have products that cannot overflow
    tame: bool  # hidden states have a bound whose products with weights cannot overflow
    steps: bool  # nor can products of weights and what a compiled step takes

    def require_products(self, inputs: ModelInputs) -> None:
        """Refuse inputs and states in NumPy's memory whose products with weights may overflow."""
        X, state, lengths, static = *inputs[:3], inputs.static
        if inputs.bound <= self.room or type(X) is not np.ndarray:
            return
        if lengths is not None:
            X = np.where(mask(lengths, X.shape[1])[..., None], X, X.dtype.type(0))
        sums = self._sums(X, state, static)
        total = sum(sums.values(), self.largest * np.longdouble(_hidden_terms(self.spec)))
        if total >= _LARGEST[self.spec.dtype]:
            most = max(sums, key=lambda name: sums[name])
            raise ValueError(
                f"products of {most} and the weights may add up to {total:.3g}, beyond the range "
                f"of {self.spec.dtype}: scale {most} or the weights down{self._wider()}"
            )

    def require_results(self, what: str, results: Any, *given: Any) -> None:
        """Refuse results that are not finite, unless theta or something `given` was not either."""
        if all(checks.all_finite(part) for part in _arrays(results)):
            return
        if all(checks.all_finite(part) for part in (self.theta, *_arrays(given))):
            raise ValueError(
                f"{what} has values beyond the range of {self.spec.dtype}: scale the inputs, the "
                f"states or the weights down{self._wider()}"
            )

    def watch(self) -> "Peak | None":
        """What `Network.forward` shows hidden states to, where they may have any size."""
        return None if self.tame else Peak()

    def are_moderate(self, results: Any) -> bool:
        """Whether what a compiled step gave, hidden states among it, has products that are finite.

        A sum that overflowed on the way is an infinity or a NaN in some of it.
        """
        return all(checks.bound(part) < MODERATE for part in _arrays(results))

    def require_outputs(self, outputs: Any, seen: "Peak | None") -> None:
        """Refuse outputs that are not finite, and hidden states whose products may overflow."""
        if seen is None:
            return
        self.require_results("the output", outputs)
        named = split(self.spec.shapes, self.theta)
        readers = (
            part
            for name, part in named.items()
            if part.ndim == 2 and not name.startswith(_READ_INPUTS)
        )
        bound = seen.most * max((_peak(part) * part.shape[-1] for part in readers), default=0.0)
        if bound >= _LARGEST[self.spec.dtype]:
            raise ValueError(
                f"products of hidden states and weights may add up to {bound:.3g}, beyond the "
                f"range of {self.spec.dtype}: scale the inputs or the weights down{self._wider()}"
            )

    def _wider(self) -> str:
        return ", or use dtype='float64'" if self.spec.dtype == "float32" else ""

    def _sums(
        self, X: Array, state: State | None, static: Array | None
    ) -> dict[str, np.longdouble]:
        """Bounds of the sums of products that inputs, states and attributes are factors of."""
        spec, named = self.spec, split(self.spec.shapes, self.theta)
        sums = {"X": np.longdouble(0)}
        if spec.direct_input:
            sums["X"] = _reach(named["head_direct"], X)
        if state is not None:
            sums |= {"state.h": np.longdouble(0), "state.c": np.longdouble(0)}
        ways = ("", "_reverse")[: spec.num_directions]
        layers = [f"l{index}{way}" for index in range(spec.num_layers) for way in ways]
        for index, layer in enumerate(layers):
            if index < len(ways) and static is not None:
                reach = _reach(named[f"weight_is_{layer}"], static)
                sums["static"] = max(sums.get("static", np.longdouble(0)), reach)
            if index < len(ways):
                sums["X"] = max(sums["X"], _reach(named[f"weight_ih_{layer}"], X))
            if state is not None:
                h, c = state.h[index], state.c[index]
                sums["state.h"] = max(sums["state.h"], _reach(named[f"weight_hh_{layer}"], h))
            if state is not None and spec.cell.peephole:
                looks = named[f"peephole_{layer}"].reshape(-1, c.shape[-1])
                sums["state.c"] = max(sums["state.c"], (_peaks(looks) * _peaks(c)).max())
        return sums


class Peak:
    """The largest magnitude among arrays in NumPy's memory that it is called with."""

    def __init__(self) -> None:
        self.most = 0.0

    def __call__(self, array: Any) -> None:
        """Look at one more."""
        self.most = max(self.most, _peak(array))


def range_of(spec: NetworkSpec, theta: Array) -> Range:
    """What a network with these parameters takes."""
    limit, terms, largest = _LARGEST[spec.dtype], _hidden_terms(spec), checks.largest(theta)
    # a projection adds up numbers between -1 and 1
    widest = max(1.0, largest * spec.hidden_size) if spec.proj_size else 1.0
    tame = _is_bounded(spec) and largest * terms * widest < limit
    inputs = spec.input_size + (spec.static_size or 0)
    room = limit / (inputs + terms) / max(largest, 1.0)
    return Range(spec, theta, largest, room, tame, largest < _STEPPING)


def _hidden_terms(spec: NetworkSpec) -> int:
    """Terms of a sum that are no inputs: hidden states, of residual layers sums of them, c."""
    return spec.hidden_width * spec.num_layers + 3


def _is_bounded(spec: NetworkSpec) -> bool:
    """Whether o f(c) lies between -1 and 1, and c grows by up to 1 a step."""
    return all(activation.name in _BOUNDED for activation in spec.cell.activations)


def _reach(weight: Array, values: Array) -> np.longdouble:
    """A bound of the sums of products of a matrix (N, K) and values (..., K)."""
    return np.longdouble((_peaks(weight) * _peaks(values)).sum())


def _peak(array: Array) -> float:
    return checks.largest(array) if type(array) is np.ndarray else 0.0


def _peaks(values: Array) -> Array:
    """The largest magnitude of every column, in a type in which their products are finite."""
    peaks: Array = np.abs(values).reshape(-1, values.shape[-1]).max(axis=0, initial=0)
    return peaks.astype(np.longdouble)


def _arrays(value: Any) -> list[Array]:
    if isinstance(value, tuple):
        return [array for part in value for array in _arrays(part)]
    return [value] if type(value) is np.ndarray else []
