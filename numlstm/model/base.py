"""The parameters of a model, and what is derived from them: the part that all others build on."""

import hashlib
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np

from numlstm.architecture.cell import Cell
from numlstm.architecture.parameters import Init, Parameters, initialise
from numlstm.architecture.spec import Dropout, NetworkSpec
from numlstm.data.labels import UNNAMED, Names
from numlstm.data.missing import Imputer
from numlstm.data.scaling import Scaling
from numlstm.model.ranges import Range, range_of
from numlstm.network.dropout import NetworkNoise
from numlstm.network.network import Network, Weights, network_on
from numlstm.utils import checks
from numlstm.utils.aside import Runner
from numlstm.utils.random_streams import RandomStreams, new_seed
from numlstm.utils.types import AnyArray, Array

if TYPE_CHECKING:  # else loaded on first use: it imports Numba
    from numlstm.stepping.stepper import Stepper


_LARGE = 2**18  # parameters whose first values may take long: they come from LAPACK


class KeptStepper(NamedTuple):
    """A compiled step, and what it was made of."""

    theta: bytearray  # see `Model._content`
    units: tuple[bytes | None, ...]  # of the arrays of the scaling
    stepper: "Stepper | None"  # None where a step needs too much of the stack


class Model:
    """Parameters, their packed forms, and how the data is converted; see `numlstm.LSTM`.

    The other files of this folder add to it what a model can do, and `LSTM` is the whole.
    """

    names: Names = UNNAMED  # of features and targets, set by training
    _drawn: str | None = None  # the digest of theta as it was drawn, of a model that was

    @classmethod
    def from_spec(cls, spec: NetworkSpec, backend: str, theta: Array) -> Self:
        """Internal: a model of a spec that was checked before; theta becomes its own."""
        model = cls.__new__(cls)
        model._become(network_on(spec, backend), theta)
        return model

    @property
    def is_new(self) -> bool:
        """Whether the parameters are those that were drawn when the model was made."""
        return self._drawn is not None and self._drawn == digest(self._theta)

    def _become(self, network: Network, theta: Array) -> None:
        self.spec, self.network, self._theta = network.spec, network, theta
        self._bytes = bytearray()  # theta as it was at the last look
        self._packed: tuple[bytearray, Weights] | None = None
        self._kept_range: tuple[bytearray, Range] | None = None
        self._steppers: dict[tuple[bool, bool], KeptStepper] = {}  # by whether scaled, derived
        # set by training, for `predict`: "sequence" or "last", and the units of the data
        self.output = "sequence"
        self.forecasts: bool | None = None
        self.scaling: Scaling | None = None
        self.filling: Imputer | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Everything but the derived forms: compiled steps hold addresses of this process."""
        derived: dict[str, Any] = {
            "_bytes": bytearray(),
            "_packed": None,
            "_kept_range": None,
            "_steppers": {},
        }
        return vars(self) | derived

    @property
    def cell(self) -> Cell:
        """The variant of the cells."""
        return self.spec.cell

    @property
    def num_features(self) -> int:
        """Number of input features of the data; a mask channel is none of them."""
        return self.spec.input_size if self.filling is None else self.filling.mean.size

    @property
    def feature_names_in_(self) -> Array | None:
        """Names of the features, shape (I,), where `fit` was given some."""
        features = self.names.features
        return None if features is None else np.array(features, dtype=object)

    def __repr__(self) -> str:
        """Sizes, variant, parameters, dtype and backend on one line."""
        spec, variant = self.spec, self.spec.in_words(without=_SIZES)
        head = "no head" if spec.head is None else _count(spec.width, "output")
        return (
            f"<LSTM: {_count(spec.input_size, 'input')}, {_count(spec.num_layers, 'layer')} "
            f"of {_count(spec.hidden_size, 'unit')}, {head}; {variant}{'; ' if variant else ''}"
            f"{spec.num_parameters} parameters, "
            f"{spec.dtype}, {self.network.backend.name} backend>"
        )

    @property
    def theta(self) -> Array:
        """The flat parameter vector, shape (n,); the model reads it at every call."""
        return self._theta

    @theta.setter
    def theta(self, value: Any) -> None:
        value = checks.array("theta", value, self.spec.dtype, finite=False)
        checks.shape("theta", value, (self.spec.num_parameters,))
        self._theta[...] = value

    @property
    def params(self) -> Parameters:
        """Named, writable views into `theta`; an assignment to a name is written into `theta`."""
        return Parameters(self.spec.shapes, self._theta)

    def _noise(self, rng: Any, X: AnyArray) -> NetworkNoise | None:
        """Masks drawn for X, or None where there is no source for them."""
        if rng is None:
            return None
        if self.spec.dropout == Dropout():
            raise ValueError("noise_rng= needs a model with dropout, this one has no rate above 0")
        return self.network.draw_noise(RandomStreams(new_seed(rng)), 0, *X.shape[:2])

    def _content(self) -> bytearray:
        """The bytes of theta: the same object for as long as they do not change."""
        # a bytearray compares itself to any buffer by memcmp: no copy, and -0.0 and NaN are bits
        if self._bytes != self._theta:
            self._bytes = bytearray(self._theta.data)
        return self._bytes

    @property
    def _range(self) -> Range:
        """What may go in and come out; looked at again only where theta has changed since."""
        content, kept = self._content(), self._kept_range
        if kept is None or kept[0] is not content:
            self._kept_range = kept = (content, range_of(self.spec, self._theta))
        return kept[1]

    def _weights(self, noise: NetworkNoise | None = None) -> Weights:
        """theta as the backend reads it; packed again only where theta has changed since."""
        if noise is not None:
            return self.network.pack(self._theta, noise)
        content, packed = self._content(), self._packed
        if packed is None or packed[0] is not content:
            self._packed = packed = (content, self._pack(content))
        return packed[1]

    def _pack(self, content: bytearray) -> Weights:
        """theta as the backend reads it; the first time that compiles, and can be left."""
        if self.network.short > 0:
            return self.network.pack(self._theta)
        packed: Weights = Runner().aside(self.network.pack, np.frombuffer(content, self.spec.dtype))
        return packed

    def _require_step(self) -> None:
        """Refuse networks that have none."""
        if self.spec.bidirectional:
            raise ValueError(
                "a bidirectional network has no step: its output at a time depends on what comes "
                "later; use forward on the whole sequence"
            )


def drawn(spec: NetworkSpec, rng: np.random.Generator, init: Init) -> Array:
    """First values of the parameters; of a large network they are drawn where Ctrl-C is heard."""
    if spec.num_parameters < _LARGE:
        return initialise(spec, rng, init)
    theta: Array = Runner().aside(initialise, spec, rng, init)
    return theta


def digest(theta: Array) -> str:
    """The SHA-256 of the bytes of a parameter vector."""
    return hashlib.sha256(theta.data).hexdigest()


# what `repr` has in other words
_SIZES = ("input_size", "hidden_size", "output_size", "num_layers", "dtype")


def _count(number: int, noun: str) -> str:
    """The number with its noun, "1 layer" or "2 layers"."""
    return f"{number} {noun}" + ("" if number == 1 else "s")
