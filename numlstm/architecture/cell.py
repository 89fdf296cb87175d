"""The description of a cell: what its variants are called, their values, defaults and checks.

Keywords, model files, checkpoints, `repr`, the encoding that kernels take, and the tests' examples
follow from the fields of `Cell`; the parameters that a variant adds, from `UNIT_PARAMETERS`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from numlstm.utils import checks
from numlstm.utils.lazy import cached_property
from numlstm.utils.nouns import Noun, option, with_hints

GATES = ("i", "f", "g", "o")  # input gate, forget gate, candidate, output gate: always this order

# name -> default constants (alpha, beta): the activations that the ONNX LSTM operator knows
ACTIVATIONS: dict[str, tuple[float, ...]] = {
    "sigmoid": (),
    "tanh": (),
    "relu": (),
    "affine": (1.0, 0.0),
    "leaky_relu": (0.01,),
    "thresholded_relu": (1.0,),
    "scaled_tanh": (1.0, 1.0),
    "hard_sigmoid": (0.2, 0.5),
    "elu": (1.0,),
    "softsign": (),
    "softplus": (),
}


@dataclass(frozen=True)
class Activation:
    """An activation function and its constants; what is left out gets ONNX's default.

    sigmoid, tanh, relu, softsign z / (1 + |z|), softplus log(1 + exp z), affine alpha z + beta,
    leaky_relu (alpha z below 0), thresholded_relu (0 up to alpha), scaled_tanh
    alpha tanh(beta z), hard_sigmoid min(1, max(0, alpha z + beta)), elu (alpha (exp z - 1) below
    0). ONNX gives affine and scaled_tanh no defaults; here they are 1, 0 and 1, 1.
    """

    name: str
    alpha: float | None = None
    beta: float | None = None

    def __post_init__(self) -> None:
        """Fill in the defaults; a constant that the activation does not have is 0."""
        defaults = (*ACTIVATIONS[self.name], 0.0, 0.0)
        for field, default in zip(("alpha", "beta"), defaults, strict=False):
            if getattr(self, field) is None:
                object.__setattr__(self, field, default)

    def __str__(self) -> str:
        """The name, with its constants where it has some."""
        constants = (self.alpha, self.beta)[: len(ACTIVATIONS[self.name])]
        return self.name + (f"({', '.join(f'{c:g}' for c in constants)})" if constants else "")


Activations = tuple[Activation, Activation, Activation]

# of the gates, of the candidate, of the cell on its way out
USUAL: Activations = Activation("sigmoid"), Activation("tanh"), Activation("tanh")


def _activations(name: str, value: Any) -> Activations:
    """Three activations; each a name, or a name with its constants."""
    if value is None:
        return USUAL
    if not isinstance(value, (tuple, list, np.ndarray)) or len(value) != 3:
        raise ValueError(
            f"{name} must be three, of the gates, of the candidate and of the cell's output, "
            f"received {value!r}"
        )
    first, second, third = (_activation(one) for one in value)
    return first, second, third


def _activation(value: Any) -> Activation:
    if isinstance(value, Activation):
        value = vars(value)
    if isinstance(value, Mapping) and value.keys() == {"name", "alpha", "beta"}:  # of a model file
        name = checks.choice("an activation", value["name"], tuple(ACTIVATIONS))
        count = 1 + len(ACTIVATIONS[name])
        value = (value["name"], value["alpha"], value["beta"])[:count]
    if isinstance(value, str):
        value = (value,)
    if not isinstance(value, (tuple, list, np.ndarray)) or not len(value):
        raise TypeError(
            "each of activations must be a name or a tuple (name, alpha[, beta]), as 'relu' or "
            f"('elu', 0.5), received {value!r}"
        )
    name, *constants = value
    name = checks.choice("an activation", name, tuple(ACTIVATIONS))
    if len(constants) > len(ACTIVATIONS[name]):
        raise ValueError(
            f"activation {name!r} has {len(ACTIVATIONS[name])} constant(s), "
            f"received {len(constants)}"
        )
    activation = Activation(name, *(checks.real(f"a constant of {name}", c) for c in constants))
    alpha = activation.alpha or 0.0
    # the derivative is written with the value, which must say on which side of a kink it lies
    if name in ("leaky_relu", "thresholded_relu", "elu") and alpha < 0:
        raise ValueError(f"activation {name!r} needs alpha >= 0, received {alpha:g}")
    if name in ("scaled_tanh", "hard_sigmoid") and alpha <= 0:
        raise ValueError(f"activation {name!r} needs alpha > 0, received {alpha:g}")
    return activation


def _layer_norm(name: str, value: Any) -> bool | str:
    """False, True or "gates"."""
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    if not isinstance(value, str) or value != "gates":
        kind = ValueError if isinstance(value, str) else TypeError
        raise kind(f"{name} must be False, True or 'gates', received {value!r}")
    return "gates"


def require_held(cell: "Cell", dtype: str) -> None:
    """Refuse constants that a dtype rounds to 0 or to infinity."""
    for name in ("layer_norm_epsilon", "activation_clip", "cell_clip", "proj_clip"):
        checks.held(name, getattr(cell, name), dtype)
    for activation in cell.activations:
        for name in ("alpha", "beta"):
            checks.held(f"{name} of {activation.name}", getattr(activation, name), dtype)


FORGET_GATES = ("gate", "coupled", "none")
LAYER_NORMS: tuple[bool | str, ...] = (False, True, "gates")
_limit = partial(checks.optional, checks.real, above=0.0)


def _draw_limit(rng: Any) -> float:
    return float(rng.uniform(0.3, 3.0))


def _draw_small_limit(rng: Any) -> float:
    return float(rng.uniform(0.05, 0.8))


def _draw_activations(rng: Any) -> Activations:
    def one() -> Activation:
        alpha, beta = rng.uniform(0.1, 1.2, 2)
        return Activation(str(rng.choice(list(ACTIVATIONS))), float(alpha), float(beta))

    return one(), one(), one()


class UnitParameter(NamedTuple):
    """A parameter that every unit has beside the weights and biases of its gates."""

    name: str
    present: Callable[["Cell"], Any]  # whether a cell has it
    gates: tuple[str, ...] = ()  # one number for each of these gates that there are; (): just one
    initial: float = 0.0  # its value in a new network
    symbol: str | None = None  # what kernels call it, if not by its name

    def parts(self, gates: tuple[str, ...] = GATES) -> tuple[str, ...]:
        """The names of its numbers in a cell with these gates, such as `gain_i`."""
        symbol = self.symbol or self.name
        own = (f"{symbol}_{gate}" for gate in self.gates if gate in gates)
        return tuple(own) if self.gates else (symbol,)


# in their order in the flat parameter vector, where they follow the bias
UNIT_PARAMETERS = (
    UnitParameter("peephole", lambda c: c.peephole and c.layer_norm != "gates", ("i", "f", "o")),
    UnitParameter(
        "peephole", lambda c: c.peephole and c.layer_norm == "gates", ("i", "f", "o"),
        symbol="early",  # before the normalisation
    ),
    UnitParameter("gain", lambda c: c.layer_norm, GATES, 1.0),
    UnitParameter("cell_gain", lambda c: c.layer_norm is True, initial=1.0),
    UnitParameter("cell_bias", lambda c: c.layer_norm is True),
)  # fmt: skip


@with_hints
@dataclass(frozen=True)
class Cell(Noun):
    """The variant of an LSTM cell; the defaults are the plain one, and all combine freely.

    Wherever a cell is asked for, a dict with some of these names does as well.

    Parameters
    ----------
    forget_gate : {"gate", "coupled", "none"}, optional
        A gate of its own, f = 1 - i (Greff et al. 2017), or f = 1 (the cell of 1997).
    peephole : bool, optional
        The gates see their unit's cell (Gers & Schmidhuber 2000). Adds the parameter
        ``peephole``, (3H,) in the order of the gates i, f, o or, without a forget gate of its own,
        (2H,), i, o.
    layer_norm : bool or "gates", optional
        Normalise every gate's pre-activations and the cell on its way out over the units (Ba et
        al. 2016). "gates" leaves the cell as it is, and normalises what a gate sees by its
        peephole too: the layer normalisation of TensorFlow Lite. Adds ``gain``, (4H,) or (3H,), in
        the order i, f, g, o of the other rows, and with True ``cell_gain`` and ``cell_bias``, (H,).
    layer_norm_epsilon : float, optional
        Added to every variance that layer normalisation divides by.
    activation_clip : float, optional
        Limit on what goes into every activation: ONNX's ``clip``.
    cell_clip : float, optional
        Limit on the cell that is carried (Sak et al. 2014).
    proj_clip : float, optional
        Limit on what the projection gives, before it is carried and given out: the `proj_clip` of
        TensorFlow. Needs `proj_size`.
    activations : sequence of three, optional
        Of the gates, of the candidate, of the cell on its way out; default sigmoid, tanh, tanh.
        Each is a name or a tuple (name, alpha[, beta]): sigmoid, tanh, relu, affine, leaky_relu,
        thresholded_relu, scaled_tanh, hard_sigmoid, elu, softsign, softplus, with ONNX's meaning
        and defaults.

    Raises
    ------
    ValueError, TypeError
        For a value that the variant cannot have.

    References
    ----------
    The equations, with their papers, stand in the docstring of `numlstm.backends.reference`.

    Examples
    --------
    >>> import numlstm
    >>> cell = numlstm.Cell(peephole=True, cell_clip=3.0)
    >>> cell == numlstm.Cell(cell_clip=3, peephole=True)
    True
    """

    forget_gate: str = option("gate", options=FORGET_GATES)
    peephole: bool = option(False, checks.flag, (True,))
    layer_norm: bool | str = option(LAYER_NORMS[0], _layer_norm, options=LAYER_NORMS)
    layer_norm_epsilon: float = option(
        1e-5,
        partial(checks.real, above=0.0),
        (0.1,),
        draw=lambda rng: float(10.0 ** rng.uniform(-5, 0)),
        needs={"layer_norm": True},
    )
    activation_clip: float | None = option(None, _limit, (0.3, 2.0), draw=_draw_limit)
    cell_clip: float | None = option(None, _limit, (0.4, 2.0), draw=_draw_limit)
    proj_clip: float | None = option(
        None, _limit, (0.1, 0.5), draw=_draw_small_limit, needs={"proj_size": 3}
    )
    activations: Sequence[Any] = option(
        USUAL,
        _activations,
        tuple((Activation(name, 0.4, 0.6),) * 3 for name in ACTIVATIONS),
        draw=_draw_activations,
    )

    @cached_property
    def gates(self) -> tuple[str, ...]:
        """The gates that have weights of their own, in their order."""
        return tuple(gate for gate in GATES if gate != "f" or self.forget_gate == "gate")

    @property
    def unit_parameters(self) -> tuple[UnitParameter, ...]:
        """Parameters of every unit beside the weights and biases of its gates."""
        return tuple(p for p in UNIT_PARAMETERS if p.present(self))
