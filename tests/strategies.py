"""Hypothesis strategies: sizes that fit no tile, and numbers drawn from a seed.

Hypothesis chooses sizes, switches and a seed; the numbers themselves come from a NumPy generator
with that seed, so that an example is quick to draw and shrinks to small sizes.
"""

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from hypothesis import strategies as st

from numlstm.spec import HeadSpec, LayerSpec, NetworkSpec, State


class Numbers(NamedTuple):
    """Everything that a forward and a backward pass need."""

    theta: np.ndarray  # (n,)
    X: np.ndarray  # (B, T, I)
    state: State  # each (B, H), or (num_layers, B, H) for a network
    lengths: np.ndarray | None  # (B,)
    dY: np.ndarray | None  # (B, T, O), or (B, O) for the last step only
    dstate: State | None


@dataclass(frozen=True)
class Case:
    """One example: what to run, on how much data, and where its numbers come from."""

    spec: Any  # LayerSpec or NetworkSpec
    B: int
    T: int
    seed: int = 0
    ragged: bool = False
    last: bool = False
    with_dY: bool = True
    with_dstate: bool = True
    gain: float = 1.0  # size of the weights; 1 keeps the gates in their curved range
    loud: float = 1.0  # size of the inputs and states

    @property
    def numbers(self) -> Numbers:
        """The arrays, equal at every call."""
        rng = np.random.default_rng(self.seed)
        network = isinstance(self.spec, NetworkSpec)
        rows = (self.B, self.spec.hidden_size)
        if network:
            rows = (self.spec.num_layers, *rows)
        width = self.spec.width if network else self.spec.hidden_size
        # float32 numbers are drawn in float64 first: an example has the same numbers in both

        def normal(*shape, scale=1.0):
            return (scale * rng.standard_normal(shape)).astype(self.spec.dtype)

        theta = np.concatenate(
            [_weights(rng, shape).ravel() for shape in self.spec.shapes.values()]
        )
        return Numbers(
            (self.gain * theta).astype(self.spec.dtype),
            normal(self.B, self.T, self.spec.input_size, scale=self.loud),
            State(np.tanh(normal(*rows)), normal(*rows, scale=self.loud)),
            rng.integers(0, self.T + 1, self.B) if self.ragged else None,
            normal(*((self.B, width) if self.last else (self.B, self.T, width)))
            if self.with_dY
            else None,
            State(normal(*rows), normal(*rows)) if self.with_dstate else None,
        )

    @property
    def promoted(self) -> "Case":
        """The same example for a float64 run; give it these numbers with `promote`."""
        return replace(self, spec=replace(self.spec, dtype="float64"))


def promote(numbers: Numbers, dtype: Any = np.float64) -> Numbers:
    """The same numbers in another dtype; lengths stay integers."""

    def cast(value):
        if value is None:
            return None
        if isinstance(value, State):
            return State(*map(cast, value))
        return value.astype(dtype)

    return numbers._replace(**{k: cast(v) for k, v in numbers._asdict().items() if k != "lengths"})


def _weights(rng, shape):
    """Uniform with standard deviation 1/sqrt(3 fan_in): rounding errors fade over the steps."""
    bound = 1.0 / np.sqrt(shape[-1]) if len(shape) == 2 else 1.0
    return rng.uniform(-bound, bound, shape)


def _mostly(common, largest, smallest=1):
    """Sizes near the edges of vectors and tiles, and now and then any other."""
    return st.sampled_from(common) | st.integers(smallest, largest)


dtypes = st.sampled_from(["float64", "float32"])
seeds = st.integers(0, 2**32 - 1)
input_sizes = _mostly([1, 2, 3, 5, 8, 9, 17], 40)
hidden_sizes = _mostly([1, 3, 7, 8, 9, 15, 16, 17, 31, 33, 64, 65], 70)
output_sizes = st.sampled_from([None, 1, 2, 5, 17])
batches = _mostly([1, 2, 3, 0, 5, 6, 7, 13], 40, 0)
steps = _mostly([1, 2, 3, 5, 0], 12, 0)

layers = st.builds(LayerSpec, input_sizes, hidden_sizes, dtypes)
networks = st.builds(
    NetworkSpec, input_sizes, hidden_sizes, output_sizes, st.sampled_from([1, 2, 3]), dtypes
)
heads = st.builds(HeadSpec, hidden_sizes, st.sampled_from([1, 2, 5, 17, 33]), dtypes)


@st.composite
def sizes(draw):
    """(B, T): small ones, and sometimes a long series or a batch larger than any tile."""
    kind = draw(st.sampled_from(["small"] * 12 + ["long", "wide"]))
    if kind == "long":
        return draw(st.sampled_from([1, 2, 3, 7])), draw(st.sampled_from([70, 129, 150]))
    if kind == "wide":
        return draw(st.sampled_from([130, 257])), draw(st.sampled_from([1, 2, 3]))
    return draw(batches), draw(steps)


@st.composite
def cases(draw, specs, **fixed):
    """A `Case` over `specs`; what is given in `fixed` is not drawn."""
    spec = draw(specs)
    B, T = draw(sizes())
    drawn = {
        "seed": draw(seeds),
        "ragged": draw(st.booleans()),
        "with_dstate": draw(st.booleans()),
        "gain": draw(st.sampled_from([1.0, 0.3, 0.01])),
    }
    if isinstance(spec, LayerSpec):
        drawn["with_dY"] = draw(st.booleans()) or not drawn["with_dstate"]
    else:
        drawn["last"] = draw(st.booleans())
    return Case(spec, B, T, **(drawn | fixed))


@st.composite
def extreme_cases(draw, specs):
    """Magnitudes from denormal to saturated; few steps, or true gradients leave float32."""
    return Case(
        draw(specs),
        draw(batches),
        draw(st.integers(0, 3)),
        draw(seeds),
        ragged=draw(st.booleans()),
        gain=draw(st.sampled_from([0.0, 1e-310, 1e-41, 1e-20, 1e-3, 1.0, 30.0, 1e3])),
        loud=draw(st.sampled_from([0.0, 1e-310, 1e-41, 1e-20, 1e-3, 1.0, 100.0, 1e4])),
    )
