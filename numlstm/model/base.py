"""The parameters of a model, and what is derived from them: the part that all others build on."""

import hashlib
from copy import copy
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np

from numlstm.architecture.cell import Cell
from numlstm.architecture.parameters import Init, Parameters, initialise
from numlstm.architecture.spec import Dropout, NetworkSpec
from numlstm.data.ahead import Ahead
from numlstm.data.labels import UNNAMED, Names
from numlstm.data.missing import Imputer
from numlstm.data.scaling import Scaling
from numlstm.model.ranges import Range, range_of
from numlstm.network.dropout import NetworkNoise
from numlstm.network.network import Network, Weights, network_on
from numlstm.utils import checks
from numlstm.utils.interruptible import Runner
from numlstm.utils.lazy import cached_property
from numlstm.utils.random_streams import RandomStreams, new_seed
from numlstm.utils.types import AnyArray, Array

if TYPE_CHECKING:  # else loaded on first use: it imports Numba
    from numlstm.stepping.stepper import Stepper


_runner = Runner()  # of the first values of parameters, which come from LAPACK


class KeptStepper(NamedTuple):
    """A compiled step, and what it was made of."""

    units: tuple[bytes | None, ...]  # of the arrays of the scaling
    stepper: "Stepper | None"  # None where a step needs too much of the stack


class Derived:
    """What follows from parameters as they were at a look; each form is made on first use.

    `content` has their bytes; it holds all forms together, so that a call looks at them once.
    """

    def __init__(self, network: Network, content: bytearray):
        self.network, self.content = network, content
        self.steppers: dict[tuple[bool, bool], KeptStepper] = {}  # by whether scaled, derived
        self.last_static: tuple[bytes, Stepper] | None = None  # of the attributes of the last step

    @property
    def theta(self) -> Array:
        """The parameters (n,)."""
        return np.frombuffer(self.content, self.network.spec.dtype)

    @cached_property
    def range(self) -> Range:
        """What may go in and come out."""
        return range_of(self.network.spec, self.theta)

    @cached_property
    def weights(self) -> Weights:
        """The parameters as the backend reads them; the first time that compiles."""
        packed: Weights = self.network.runner.run(Network.pack, self.network, self.theta)
        return packed

    def weights_with(self, noise: NetworkNoise | None) -> Weights:
        """The same, under masks."""
        return self.weights if noise is None else self.network.pack(self.theta, noise)


class Model:
    """Parameters, their packed forms, and how the data is converted; see `numlstm.LSTM`.

    The other files of this folder add to it what a model can do, and `LSTM` is the whole.
    """

    names: Names = UNNAMED  # of features and targets, set by training
    window: int | None = None  # the same of a model of windows over series
    _drawn: str | None = None  # the digest of theta as it was drawn, of a model that was

    @classmethod
    def from_spec(cls, spec: NetworkSpec, backend: str, theta: Array) -> Self:
        """Internal: a model of a spec that was checked before; theta becomes its own."""
        model = cls.__new__(cls)
        model._become(network_on(spec, backend), theta)
        return model

    def _viewing(self, theta: Array) -> Self:
        """The same model of other parameters, which are not copied and may change."""
        model = copy(self)
        model._theta, model._kept = theta, None
        return model

    @property
    def is_new(self) -> bool:
        """Whether the parameters are those that were drawn when the model was made."""
        return self._drawn is not None and self._drawn == digest(self._theta)

    def _become(self, network: Network, theta: Array) -> None:
        self.spec, self.network, self._theta = network.spec, network, theta
        self._kept: Derived | None = None  # see `_derived`
        # set by training, for `predict`: "sequence" or "last", and the units of the data
        self.output = "sequence"
        self.forecasts: bool | None = None
        self.scaling: Scaling | None = None
        self.filling: Imputer | None = None
        self.ahead: Ahead | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Everything but the derived forms: compiled steps hold addresses of this process."""
        return vars(self) | {"_kept": None}

    @property
    def cell(self) -> Cell:
        """The variant of the cells."""
        return self.spec.cell

    @property
    def num_features(self) -> int:
        """Number of input features of the data.

        Neither mask channels nor features that are known ahead are among them.
        """
        own = self.spec.input_size if self.filling is None else self.filling.mean.size
        return own - (0 if self.ahead is None else self.ahead.columns)

    @property
    def horizon(self) -> int | None:
        """Number of steps that the model forecasts at once, where `fit` had a `horizon`."""
        return None if self.ahead is None else self.ahead.horizon

    @property
    def num_future(self) -> int:
        """Number of features that are known ahead, F, which it reads beside its inputs."""
        return 0 if self.ahead is None else self.ahead.future

    @property
    def output_names(self) -> Names:
        """Names of the features, and of the outputs of a step where several are forecast."""
        ahead = self.ahead
        if ahead is None or ahead.horizon is None:
            return self.names
        return self.names.ahead(ahead.steps, ahead.targets)

    @property
    def feature_names_in_(self) -> Array | None:
        """Names of the features, shape (I,), where `fit` was given some."""
        features = self.names.features
        return None if features is None else np.array(features, dtype=object)

    def __repr__(self) -> str:
        """Sizes, variant, parameters, dtype and backend on one line."""
        spec, variant = self.spec, self.spec.in_words(without=SIZES)
        return (
            f"<{headline(spec)}; {variant}{'; ' if variant else ''}"
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

    def _derived(self) -> Derived:
        """What follows from theta as it is: the same object for as long as it does not change."""
        kept = self._kept
        # a bytearray compares itself to any buffer by memcmp: no copy, and -0.0 and NaN are bits
        if kept is None or kept.content != self._theta:
            self._kept = kept = Derived(self.network, bytearray(self._theta.data))
        return kept

    def _require_step(self) -> None:
        """Refuse networks that have none."""
        if self.spec.bidirectional:
            raise ValueError(
                "a bidirectional network has no step: its output at a time depends on what comes "
                "later; use forward on the whole sequence"
            )


def drawn(spec: NetworkSpec, rng: np.random.Generator, init: Init) -> Array:
    """First values of the parameters; of a large network they are drawn where Ctrl-C is heard."""
    theta: Array = _runner.run(initialise, spec, rng, init, extent=spec.num_parameters)
    return theta


def digest(theta: Array) -> str:
    """The SHA-256 of the bytes of a parameter vector."""
    return hashlib.sha256(theta.data).hexdigest()


# what `repr` has in other words
SIZES = ("input_size", "hidden_size", "output_size", "num_layers", "dtype")


def headline(spec: NetworkSpec) -> str:
    """The sizes of a network."""
    head = "no head" if spec.head is None else count(spec.width, "output")
    layers = f"{count(spec.num_layers, 'layer')} of {count(spec.hidden_size, 'unit')}"
    return f"LSTM: {count(spec.input_size, 'input')}, {layers}, {head}"


def count(number: int, noun: str) -> str:
    """The number with its noun, "1 layer" or "2 layers"."""
    return f"{number} {noun}" + ("" if number == 1 else "s")
