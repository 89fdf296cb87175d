"""Hypothesis strategies: sizes that fit no tile, and numbers drawn from a seed.

Hypothesis chooses sizes, switches and a seed; the numbers themselves come from a NumPy generator
with that seed, so that an example is quick to draw and shrinks to small sizes.
"""

from dataclasses import dataclass, fields, replace
from typing import Any, NamedTuple

import numpy as np
from hypothesis import strategies as st

from helpers.variants import example_cells
from numlstm.architecture.cell import Cell
from numlstm.architecture.spec import Dropout, HeadSpec, LayerSpec, NetworkSpec, Noise, State
from numlstm.backends import numpy_arrays
from numlstm.network.dropout import NetworkNoise, draw_noise
from numlstm.utils.random_streams import RandomStreams


class Numbers(NamedTuple):
    """Everything that a forward and a backward pass need."""

    theta: np.ndarray  # (n,)
    X: np.ndarray  # (B, T, I)
    state: State | None  # (B, P) and (B, H), for a network (layers, B, P) and (layers, B, H)
    lengths: np.ndarray | None  # (B,)
    dY: np.ndarray | None  # (B, T, O), or (B, O) for the last step only
    dstate: State | None
    reset: np.ndarray | None = None  # (B, T), bool
    noise: Noise | NetworkNoise | None = None


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
    resets: bool = False
    noisy: Any = ()  # of a layer the fields of `Noise` that are set; of a network whether drawn
    frozen: bool = False  # noise that is the same at every step
    begins: bool = False  # no state is given to a network

    @property
    def numbers(self) -> Numbers:
        """The arrays, equal at every call."""
        rng = np.random.default_rng(self.seed)
        network = isinstance(self.spec, NetworkSpec)
        layer = self.spec.layers[0] if network else self.spec
        stacked = (len(self.spec.layers), self.B) if network else (self.B,)
        h_shape, c_shape = (*stacked, layer.output_size), (*stacked, layer.hidden_size)
        width = self.spec.width if network else layer.output_size
        # float32 numbers are drawn in float64 first: an example has the same numbers in both

        def normal(*shape, scale=1.0):
            return (scale * rng.standard_normal(shape)).astype(self.spec.dtype)

        theta = np.concatenate(
            [_weights(rng, shape).ravel() for shape in self.spec.shapes.values()]
        )
        numbers = Numbers(
            (self.gain * theta).astype(self.spec.dtype),
            normal(self.B, self.T, self.spec.input_size, scale=self.loud),
            State(np.tanh(normal(*h_shape)), normal(*c_shape, scale=self.loud)),
            rng.integers(0, self.T + 1, self.B) if self.ragged else None,
            normal(*((self.B, width) if self.last else (self.B, self.T, width)))
            if self.with_dY
            else None,
            State(normal(*h_shape), normal(*c_shape)) if self.with_dstate else None,
            rng.random((self.B, self.T)) < 0.3 if self.resets else None,
            self._noise(rng) if self.noisy else None,
        )
        return numbers._replace(state=None) if self.begins else numbers

    def _noise(self, rng) -> Noise | NetworkNoise:
        """Masks of 0 and 2, shares anywhere between 0 and 1; of a network, what training draws."""
        if isinstance(self.spec, NetworkSpec):
            return draw_noise(self.spec, numpy_arrays, RandomStreams(self.seed), 0, self.B, self.T)
        spec, steps = self.spec, 1 if self.frozen else self.T
        shapes = {
            "x": (self.B, spec.input_size),
            "h": (self.B, spec.output_size),
            "g": (self.B, steps, spec.hidden_size),
            "keep_h": (self.B, steps, spec.output_size),
            "keep_c": (self.B, steps, spec.hidden_size),
        }
        drawn = {name: rng.random(shapes[name]) for name in self.noisy}
        drawn |= {name: 2 * np.round(drawn[name]) for name in {"x", "h", "g"} & set(drawn)}
        return Noise(**{name: value.astype(spec.dtype) for name, value in drawn.items()})

    @property
    def promoted(self) -> "Case":
        """The same example for a float64 run; give it these numbers with `promote`."""
        return replace(self, spec=replace(self.spec, dtype="float64"))


def promote(numbers: Numbers, dtype: Any = np.float64) -> Numbers:
    """The same numbers in another dtype; lengths stay integers, resets stay bool."""
    return mapped(lambda value: value.astype(dtype), numbers)


def mapped(function, value):
    """The function of every array of floats, whatever tuple it is in; None stays None."""
    if isinstance(value, tuple):
        parts = (mapped(function, part) for part in value)
        return type(value)(*parts) if hasattr(value, "_fields") else tuple(parts)
    return value if value is None or value.dtype.kind in "ib" else function(value)


FAMILIAR = Cell().activations


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


def alone(dtype: str = "float64", B: int = 3, T: int = 4, seed: int = 0) -> dict[str, Case]:
    """Every variant of a layer by itself, by name."""
    specs = {"plain": LayerSpec(3, 5, dtype)}
    for name, options in example_cells().items():
        specs[name] = LayerSpec(3, 5, dtype, **{**options, "cell": Cell(**options["cell"])})
    for name, size in (("projection", 2), ("square projection", 5)):
        specs[name] = LayerSpec(3, 5, dtype, proj_size=size)
    cases = {name: Case(spec, B, T, seed, ragged=True) for name, spec in specs.items()}
    plain = cases["plain"]
    cases["resets"] = replace(plain, resets=True)
    learned = LayerSpec(3, 5, dtype, learned_state=True)
    cases["learned state"] = replace(plain, spec=learned, resets=True)
    for field in Noise._fields:
        cases[f"noise {field}"] = replace(plain, noisy=(field,))
        cases[f"noise {field}, frozen"] = replace(plain, noisy=(field,), frozen=True)
    return cases


def random_family_case(seed: int, dtype: str = "float64") -> Case:
    """A small layer with any combination of variants, resets and noise."""
    rng = np.random.default_rng(seed)
    cell = _random_cell(rng)
    H = int(rng.integers(1, 7))
    if cell.layer_norm and H == 2:
        H = 3  # two numbers normalise to -1 and 1: their gradient is nothing but cancellation
    proj_size = _sometimes(rng, int(rng.integers(1, H + 1)))
    cell = _without_projection(cell) if proj_size is None else cell
    learned = bool(rng.random() < 0.3)
    spec = LayerSpec(int(rng.integers(1, 5)), H, dtype, proj_size, cell, learned)
    B, T = int(rng.integers(1, 4)), int(rng.integers(1, 6))
    flags = [bool(flag) for flag in rng.integers(0, 2, 3)]
    noisy = tuple(field for field in Noise._fields if rng.random() < 0.3)
    return Case(spec, B, T, seed, ragged=flags[0], resets=flags[1], noisy=noisy, frozen=flags[2])


def random_family_network(seed: int, dtype: str = "float64") -> Case:
    """A small network with any combination of what networks and their cells can be."""
    rng = np.random.default_rng(seed)
    flags = [bool(flag) for flag in rng.integers(0, 2, 8)]
    H, num_layers = int(rng.integers(3, 6)), int(rng.integers(1, 4))
    proj_size, cell = _sometimes(rng, int(rng.integers(1, H + 1))), _random_cell(rng)
    input_size, output_size = int(rng.integers(1, 5)), [None, 2][rng.integers(2)]
    spec = NetworkSpec(
        *(input_size, H, output_size, num_layers, dtype),
        bidirectional=flags[0],
        residual=flags[1] and num_layers > 1,
        proj_size=proj_size,
        cell=_without_projection(cell) if proj_size is None else cell,
        learned_state=flags[2],
        dropout=Dropout(*(_sometimes(rng, 0.3) or 0.0 for _ in range(7))),
        direct_input=output_size is not None and seed % 2 == 0,
    )
    B, T = int(rng.integers(1, 4)), int(rng.integers(1, 6))
    drawn = dict(zip(("ragged", "last", "resets", "noisy", "begins"), flags[3:], strict=True))
    return Case(spec, B, T, seed, **drawn)


def _random_cell(rng) -> Cell:
    return Cell(**{field.name: _random_value(rng, field) for field in fields(Cell)})


def _without_projection(cell: Cell) -> Cell:
    """The cell without what needs a projection."""
    return replace(cell, proj_clip=None)


def _random_value(rng, field):
    """A value of a field: often the default where there are many, else any of the few."""
    draw, values = field.metadata["draw"], (field.default, *field.metadata["examples"])
    if draw is None:
        return values[rng.integers(len(values))]
    return draw(rng) if rng.random() < 0.4 else field.default


def _sometimes(rng, value):
    return value if rng.random() < 0.3 else None


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
