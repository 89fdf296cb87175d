"""The LSTM model: parameters and a backend, with forward, vjp, step, predict, save and load."""

import dataclasses
import os
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from numlstm.architecture import parameters
from numlstm.architecture.cell import Cell
from numlstm.architecture.keywords import SYNONYMS
from numlstm.architecture.parameters import Init
from numlstm.architecture.spec import Dropout, Gradients, NetworkSpec, State
from numlstm.data import sequences
from numlstm.data.missing import Filling, network_inputs
from numlstm.data.scaling import Scaling
from numlstm.model.inputs import Door
from numlstm.network import derivatives
from numlstm.network.dropout import NetworkNoise
from numlstm.network.network import Network, network_on
from numlstm.utils import checks, files, nouns
from numlstm.utils.nouns import suggesting
from numlstm.utils.random_streams import Draws, new_seed

LARGE_STEP = 3e5  # multiply-adds from which a step is left to the threads
# what `repr` has in other words
_SIZES = ("input_size", "hidden_size", "output_size", "num_layers", "dtype")


class LSTM:
    """A long short-term memory network: stacked layers and an optional linear head.

    The defaults are the plain LSTM; every variant can be combined with every other one.

    Parameters
    ----------
    input_size : int
        Number of input features per step, I.
    hidden_size : int
        Number of units per layer, H.
    output_size : int, optional
        Number of outputs per step, O. None: no head, the network returns its hidden sequence.
    num_layers : int, optional
        Number of stacked layers.
    bidirectional : bool, optional
        Every layer reads the sequence forward and, with weights of its own, from its end; the next
        layer or head gets both hidden states side by side (Schuster & Paliwal 1997).
    residual : bool, optional
        The second and every further layer adds its output to its input (He et al. 2016).
    learned_state : bool, optional
        The initial state is learned; it is used where no state is given, and after a reset.
    proj_size : int, optional
        Size P < H of the hidden state, a linear projection of what the output gate lets through
        (Sak et al. 2014). None: no projection, P = H.
    cell : Cell or dict, optional
        The variant of the cells: a `Cell`, or a dict with some of its names.
    init : dict, optional
        The first values of the parameters: as in `fit`.
    dropout : float or mapping of str to float, optional
        Rates in [0, 1), used in training and on request. A number is the rate "layers"; the names
        are "layers" (outputs of a layer on their way to the next, Zaremba et al. 2014), "inputs"
        and "states" (one mask per sequence on what goes into a layer and on its hidden state,
        Gal & Ghahramani 2016), "recurrent" (on the candidate, Semeniuta et al. 2016), "weights"
        (on the entries of weight_hh, Merity et al. 2017), "zoneout_h" and "zoneout_c" (units that
        keep their old value, Krueger et al. 2017; predictions use the mean).
    dtype : {"float32", "float64"}, optional
        Type of the parameters and of all arithmetic.
    rng : None, int, or numpy.random.Generator, optional
        Source of the initial weights, as in SPEC 7.
    backend : {"auto", "cpu", "cuda", "reference"}, optional
        Where the arithmetic runs; "auto" is the fastest that can run here.
    precision : {"tf32", "bf16"}, optional
        Products on the tensor cores of a GPU, for the backend "cuda" and float32: factors are
        rounded to 10 or 7 bits of mantissa, sums and everything else stay in float32. Default:
        float32 throughout.

    Attributes
    ----------
    theta : ndarray, shape (n,)
        The one flat parameter vector. Writing to it changes the model.
    params : mapping of str to ndarray
        Named, writable views into `theta`: ``weight_ih_l0`` (4H, I), ``weight_hh_l0`` (4H, P),
        ``bias_l0`` (4H,), one set per layer, then ``head_weight`` (O, P), ``head_bias`` (O,).
        The rows are in gate order i, f, g, o; 3H without a forget gate of its own. Where a
        variant has them, after the bias: ``peephole_l0`` (3H or 2H,), ``gain_l0`` (4H or 3H,),
        ``cell_gain_l0`` and ``cell_bias_l0`` (H,), ``weight_hr_l0`` (P, H), ``initial_h_l0`` (P,)
        and ``initial_c_l0`` (H,). Reverse layers end in ``_reverse``, and the head and the layers
        above then read 2P features.
    scaling : Scaling or None
        From the units of the data to the network's, ``inputs(X)``, and back, ``outputs(Y)``; set
        by `fit` with ``standardize=True``, None where there is nothing to convert.
    filling : Filling or None
        How missing inputs are filled, set by `fit` with ``missing="mask"``.

    Raises
    ------
    ValueError, TypeError
        For a size below 1, an unknown keyword, dtype or backend, and for keywords that make no
        sense together.
    BackendError
        For a backend that cannot run here; the message says what is missing.

    References
    ----------
    Hochreiter & Schmidhuber (1997), Neural Computation 9(8), 1735-1780.
    Gers, Schmidhuber & Cummins (2000), Neural Computation 12(10), 2451-2471, eqs. 3.1-3.6.
    The variants: the docstring of `numlstm.backends.reference` has their equations and papers.

    Examples
    --------
    >>> import numpy as np, numlstm
    >>> model = numlstm.LSTM(3, 8, 2, rng=0)
    >>> Y, state = model.forward(np.zeros((5, 20, 3)))
    >>> Y.shape, state.h.shape
    ((5, 20, 2), (1, 5, 8))
    """

    @suggesting({"cell": Cell, "init": Init}, SYNONYMS)
    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        output_size: int | None = None,
        *,
        num_layers: int = 1,
        bidirectional: bool = False,
        residual: bool = False,
        learned_state: bool = False,
        proj_size: int | None = None,
        cell: Cell | Mapping[str, Any] | None = None,
        init: Init | Mapping[str, Any] | None = None,
        dropout: float | Mapping[str, float] | Dropout = 0.0,
        dtype: Any = "float32",
        rng: Any = None,
        backend: str = "auto",
        precision: str | None = None,
    ):
        spec = NetworkSpec(
            *(input_size, hidden_size, output_size, num_layers, dtype),
            bidirectional=bidirectional,
            residual=residual,
            proj_size=proj_size,
            cell=nouns.read(Cell, "cell", cell),
            learned_state=learned_state,
            dropout=Dropout.read("dropout", dropout),
            precision=precision,
        )
        spec.require_sense()
        if spec.num_layers == 1 and spec.dropout.layers:
            raise ValueError(
                "dropout lies between layers: with num_layers=1 it does nothing; other rates have "
                "names, as in dropout={'states': 0.2}"
            )
        first = nouns.read(Init, "init", init)
        first.require_sense(spec.cell)
        network = network_on(spec, backend)
        self._become(network, parameters.initialise(spec, np.random.default_rng(rng), first))

    @classmethod
    def _of(cls, spec: NetworkSpec, backend: str, theta: np.ndarray) -> "LSTM":
        """A model of a spec that was checked before; theta becomes its own."""
        model = cls.__new__(cls)
        model._become(network_on(spec, backend), theta)
        return model

    def _become(self, network: Network, theta: np.ndarray) -> None:
        self.spec, self.network, self._theta = network.spec, network, theta
        self._packed: tuple | None = None
        self._steppers: dict[tuple, tuple] = {}  # kind -> what one was made of, and it
        # what training settles, for `predict`: "sequence" or "last", and the units of the data
        self.output = "sequence"
        self.scaling: Scaling | None = None
        self.filling: Filling | None = None

    def __getstate__(self) -> dict[str, Any]:
        """What is copied or sent; not compiled steps, which hold addresses of this process."""
        return vars(self) | {"_steppers": {}}

    @property
    def cell(self) -> Cell:
        """The variant of the cells."""
        return self.spec.cell

    @property
    def num_features(self) -> int:
        """Number of input features of the data; a mask channel is none of them."""
        return self.spec.input_size if self.filling is None else self.filling.mean.size

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
    def theta(self) -> np.ndarray:
        """The flat parameter vector, shape (n,); the model reads it at every call."""
        return self._theta

    @theta.setter
    def theta(self, value: Any) -> None:
        value = checks.array("theta", value, self.spec.dtype, finite=False)
        checks.shape("theta", value, (self.spec.num_parameters,))
        self._theta[...] = value

    @property
    def params(self) -> Mapping[str, np.ndarray]:
        """Named, writable views into `theta`."""
        return parameters.split(self.spec.shapes, self._theta)

    def forward(
        self,
        X: Any,
        state: Any = None,
        *,
        lengths: Any = None,
        reset: Any = None,
        noise_rng: Any = None,
    ):
        """Run a batch of sequences through the network.

        Works in the network's own (standardised) units: `model.scaling.inputs` and `.outputs`
        convert, `predict` does so by itself.

        Parameters
        ----------
        X : array_like, shape (B, T, I)
            Input, batch first.
        state : State, optional
            Initial state, h (num_layers, B, P) and c (num_layers, B, H); twice as many layers for
            a bidirectional network. Default: the learned one, else zeros.
        lengths : array_like of int, shape (B,), optional
            Length of each row; what lies behind it is padding, which is never read.
        reset : array_like of bool, shape (B, T), optional
            Where True, the row begins anew before that step: its state becomes the learned one,
            else zeros. A reset parts t - 1 and t; the reverse direction begins anew at t - 1.
        noise_rng : int or numpy.random.Generator, optional
            Draw the masks of `dropout` from this source, as in training. Default: no noise.

        Returns
        -------
        Y : ndarray, shape (B, T, O), or (B, T, P) without a head
            Output at every step; zero in the padding.
        state : State
            State after each row's own last step.

        Raises
        ------
        ValueError, TypeError
            For a wrong shape, a NaN or infinite value, or data that is not real numbers.

        Examples
        --------
        >>> import numpy as np, numlstm
        >>> model = numlstm.LSTM(1, 4, rng=0)
        >>> Y, state = model.forward(np.ones((2, 3, 1)))
        >>> bool((Y[:, -1] == state.h[-1]).all())
        True
        """
        door = Door(self.network, X)
        given = door.enter(X, state, lengths, reset)
        noise = self._noise(noise_rng, given.X)
        Y, final, _ = self.network.forward(
            *(self._weights(noise), given.X, given.state, given.lengths),
            reset=given.reset,
            noise=noise,
        )
        return door.leave(Y), door.leave(final)

    def vjp(
        self,
        X: Any,
        state: Any = None,
        *,
        lengths: Any = None,
        reset: Any = None,
        noise_rng: Any = None,
    ) -> tuple[np.ndarray, Callable[..., Gradients]]:
        """Forward pass, and the function that pulls gradients back through it.

        Works in the network's own (standardised) units: `model.scaling.inputs` and `.outputs`
        convert, `predict` does so by itself.

        Parameters
        ----------
        X, state, lengths, reset, noise_rng
            As in `forward`.

        Returns
        -------
        Y : ndarray, shape (B, T, O)
            As from `forward`.
        pullback : callable
            ``pullback(dY, dstate=None) -> Gradients(theta, X, state)``: the gradient of
            ``sum(dY * Y) + sum(dstate.h * h) + sum(dstate.c * c)``, h and c the final state.
            Anything, even a NaN, may stand in the padding of dY. The gradient of a learned
            initial state is summed into `theta`, and per row in `state`.

        Raises
        ------
        ValueError, TypeError
            As `forward`; and `pullback` for a dY that has not the shape of Y.

        References
        ----------
        Back-propagation through time: Werbos (1990), Proceedings of the IEEE 78(10); for the LSTM
        Graves & Schmidhuber (2005), Neural Networks 18(5-6), appendix A.

        Examples
        --------
        >>> import numpy as np, numlstm
        >>> model = numlstm.LSTM(1, 4, 1, rng=0)
        >>> Y, pullback = model.vjp(np.ones((2, 3, 1)))
        >>> gradients = pullback(2 * Y)      # of the sum of squares of Y
        >>> gradients.theta.shape == model.theta.shape, gradients.X.shape
        (True, (2, 3, 1))
        """
        door, copy = Door(self.network, X), self.network.backend.arrays.copy
        given = door.enter(X, state, lengths, reset)
        # the tape outlives this call: what the caller writes to his arrays later is not in it
        own = copy(given.X), given.state and State(*map(copy, given.state))
        noise = self._noise(noise_rng, given.X)
        weights = self._weights(noise)
        Y, _, tape = self.network.forward(
            weights, *own, given.lengths, tape=True, reset=given.reset, noise=noise
        )

        def pullback(dY: Any, dstate: Any = None) -> Gradients:
            dY = door.array("dY", dY, Y.shape)
            dstate = door.state("dstate", dstate, Y.shape[0])
            return door.leave(self.network.backward(weights, tape, dY, dstate, need_dX=True))

        return door.leave(Y), pullback

    def jvp(
        self,
        X: Any,
        dX: Any = None,
        dstate: Any = None,
        dtheta: Any = None,
        *,
        state: Any = None,
        lengths: Any = None,
        reset: Any = None,
    ):
        """Forward pass, and its exact derivative along a direction (forward mode).

        Works in the network's own (standardised) units, without noise.

        Parameters
        ----------
        X, state, lengths, reset
            As in `forward`.
        dX : array_like, shape (B, T, I), optional
            Change of X. Default, here and for the next two: none.
        dstate : State, optional
            Change of the initial state, also where that is the learned one or zero.
        dtheta : array_like, shape (n,), optional
            Change of `theta`.

        Returns
        -------
        values : tuple (Y, state)
            As from `forward`.
        tangents : tuple (dY, dstate)
            Derivatives of both along the direction, of the same shapes.

        Raises
        ------
        ValueError, TypeError
            As `forward`; and for a direction that has not the shape of what it changes.

        References
        ----------
        Forward mode: Wengert (1964), Communications of the ACM 7(8), over the equations of
        `numlstm.backends.reference`.

        Examples
        --------
        >>> import numpy as np, numlstm
        >>> model = numlstm.LSTM(1, 4, 1, dtype="float64", rng=0)
        >>> X, dX = np.ones((2, 3, 1)), np.full((2, 3, 1), 0.1)
        >>> (Y, state), (dY, dstate) = model.jvp(X, dX)
        >>> Z, _ = model.forward(X + 1e-4 * dX)
        >>> bool(np.allclose(Y + 1e-4 * dY, Z, atol=1e-9))
        True
        """
        run, door = self._run(X, state, lengths, reset)
        directions = [("dX", dX, run.X.shape), ("dtheta", dtheta, self._theta.shape)]
        for name, value, shape in directions:
            if value is not None:
                checks.shape(name, np.asarray(value), shape)
        dX, dtheta = (
            checks.optional(checks.array, name, value, dtype=self.spec.dtype, finite=False)
            for name, value, _ in directions
        )
        along = derivatives.Direction(dtheta, dX, door.state("dstate", dstate, len(run.X)))
        return derivatives.jvp(self.network.on_host, run, along)

    def jacobian(
        self,
        X: Any,
        of: str = "y",
        wrt: str = "X",
        *,
        state: Any = None,
        lengths: Any = None,
        reset: Any = None,
    ) -> np.ndarray:
        """Exact Jacobians of the outputs or of the final state, row by row.

        Works in the network's own (standardised) units, without noise.

        Parameters
        ----------
        X, state, lengths, reset
            As in `forward`.
        of : {"y", "state"}, optional
            What is differentiated: Y (T, O), or the final state as one vector (S,).
        wrt : {"X", "state", "theta"}, optional
            By what: X (T, I), the initial state as one vector (S,), or theta (n,).

        Returns
        -------
        J : ndarray, shape (B, ...of, ...wrt)
            For example (B, T, O, T, I), (B, S, S) or (B, T, O, n). A state as one vector of
            S = num_layers * (P + H) numbers is h of all layers, then c of all layers; twice as
            many layers for a bidirectional network.

        Raises
        ------
        ValueError, TypeError
            As `forward`; and for an `of` or `wrt` that is none of the above.

        Notes
        -----
        Forward or reverse mode, whichever needs fewer passes; directions are rows of a batch.

        Examples
        --------
        >>> import numpy as np, numlstm
        >>> model = numlstm.LSTM(2, 4, 1, rng=0)
        >>> model.jacobian(np.ones((5, 3, 2))).shape
        (5, 3, 1, 3, 2)
        >>> model.jacobian(np.ones((5, 3, 2)), of="state", wrt="state").shape
        (5, 8, 8)
        """
        checks.choice("of", of, ("y", "state"))
        checks.choice("wrt", wrt, ("X", "state", "theta"))
        run, _ = self._run(X, state, lengths, reset)
        return derivatives.jacobian(self.network.on_host, run, of, wrt)

    def transitions(
        self, X: Any, state: Any = None, *, lengths: Any = None, reset: Any = None
    ) -> np.ndarray:
        """Exact Jacobians of every step's state with respect to the state before it.

        They linearise the network along a trajectory: for its stability, Lyapunov exponents, or
        an extended Kalman filter. Their product over the steps is the Jacobian of the final state
        by the initial one. Works in the network's own (standardised) units, without noise.

        Parameters
        ----------
        X, state, lengths, reset
            As in `forward`.

        Returns
        -------
        J : ndarray, shape (B, T, S, S)
            A state is one vector of S = num_layers * (P + H) numbers, h of all layers, then c of
            all layers: J[b, t, :H, :H] is dh_t / dh_{t-1} of one layer. The identity where a row
            has ended, zero where it is reset.

        Raises
        ------
        ValueError, TypeError
            As `forward`; and for a bidirectional network, which has no state between two steps.

        Examples
        --------
        >>> import numpy as np, numlstm
        >>> model = numlstm.LSTM(2, 4, dtype="float64", rng=0)
        >>> X = np.ones((1, 3, 2))
        >>> first, second, third = model.transitions(X)[0]
        >>> whole = model.jacobian(X, of="state", wrt="state")[0]
        >>> bool(np.allclose(third @ second @ first, whole))
        True
        """
        if self.spec.bidirectional:
            raise ValueError(
                "a bidirectional network has no transitions: its directions run towards each other"
            )
        run, _ = self._run(X, state, lengths, reset)
        return derivatives.transitions(self.network.on_host, run)

    def step(self, x: Any, state: Any = None, *, reset: Any = None):
        """One time step; T calls equal one `forward` over T steps, bit for bit.

        Works in the network's own (standardised) units: `model.scaling.inputs` and `.outputs`
        convert, `predict` does so by itself.

        Parameters
        ----------
        x : array_like, shape (I,) or (B, I)
            Input of this step.
        state : State, optional
            State before the step, h (num_layers, B, P) and c (num_layers, B, H), B = 1 for x of
            shape (I,). Default: the learned one, else zeros.
        reset : bool, or array_like of bool, shape (B,), optional
            Whether the state is to begin anew before the step.

        Returns
        -------
        y : ndarray, shape (O,) or (B, O)
            Output of this step, (H,) or (B, H) without a head.
        state : State
            State after the step.

        Raises
        ------
        ValueError, TypeError
            As `forward`; and for a bidirectional network, whose output needs the whole sequence.

        Examples
        --------
        >>> import numpy as np, numlstm
        >>> model = numlstm.LSTM(1, 4, 1, rng=0)
        >>> y, state = model.step([0.5])
        >>> y, state = model.step([0.7], state)
        >>> y.shape
        (1,)
        """
        self._require_step()
        door, inputs = Door(self.network, x), self.spec.input_size
        x = door.read("x", x)
        single = x.ndim == 1
        checks.shape("x", x, (inputs,) if single else ("B", inputs))
        rows = x.reshape((1, inputs)) if single else x
        state = door.state("state", state, rows.shape[0], finite=False)
        taken = self._step_at_once(rows, state) if reset is None else None
        if taken is None:
            if reset is not None:
                reset = checks.flags("reset", reset, x.shape[:-1]).reshape(-1, 1)
            taken = self._step_by_forward(door, rows, state, reset)
        y, state = taken
        return door.leave(y.reshape(y.shape[1:]) if single else y), door.leave(state)

    def _step_by_forward(self, door: Door, rows: Any, state: State | None, reset: Any):
        """(y, state) from a forward pass of one step; here what is not finite is refused."""
        door.require_finite("x", rows)
        for name, part in zip("hc", state or (), strict=False):
            door.require_finite(f"state.{name}", part)
        X = door.bring(rows.reshape((rows.shape[0], 1, rows.shape[1])))
        Y, state, _ = self.network.forward(self._weights(), X, state, reset=door.bring(reset))
        return Y.reshape((Y.shape[0], Y.shape[2])), state

    def _step_at_once(self, rows: np.ndarray, state: State | None):
        """(y, state) from one call of compiled code for all layers; None where there is none.

        Nor where something is not finite, or where so much is to be done that threads are worth it.
        """
        if self.network.backend.name != "cpu" or len(rows) * self._theta.size > LARGE_STEP:
            return None
        stepper = self._stepper(None)
        return stepper and stepper.advanced(rows, state)

    def _stepper(self, scaling: Scaling | None, derivatives: bool = False) -> Any:
        """The stepper of the parameters as they are, made again only where they have changed."""
        kind, content = (scaling is None, derivatives), self._theta.tobytes()
        kept = self._steppers.get(kind)
        if kept is None or kept[0] != content or kept[1] is not scaling:
            from numlstm.stepping.stepper import stepper_of

            on_cpu = self.network.backend.name == "cpu"
            stepper = stepper_of(
                *(self.spec, self._theta, scaling, self._weights() if on_cpu else None),
                derivatives=derivatives,
            )
            self._steppers[kind] = kept = (content, scaling, stepper)
        return kept[2]

    def njit(self, *, standardize: bool = True, derivatives: bool = False) -> Any:
        """One time step as a value for compiled code: call it in any ``numba.njit`` of yours.

        The parameters are copied: a later change of `theta` needs a new stepper. Compiled code
        that took one takes any other of the same dtype without being compiled again.

        Parameters
        ----------
        standardize : bool, optional
            Whether x and y are in the units of the data, where the model was trained with
            standardisation, as in `predict`. False: in the network's units, as in `step`.
        derivatives : bool, optional
            Whether the stepper also has ``step_jvp`` and ``step_vjp``, the step's derivatives.
            They are compiled once per machine, which takes some seconds.

        Returns
        -------
        stepper : Stepper
            ``stepper.step(x, h, c, y)`` takes the state one step on in place and writes y; it
            agrees with `step` bit for bit. See `help(type(stepper))`.

        Raises
        ------
        ValueError
            For a bidirectional network, one with more units than fit a thread's stack, and with
            ``standardize=True`` for a model that fills missing inputs.
        BackendError
            Where the "cpu" backend cannot run.

        Examples
        --------
        >>> import numpy as np, numba, numlstm
        >>> model = numlstm.LSTM(1, 4, 1, dtype="float64", rng=0)
        >>> @numba.njit
        ... def last(stepper, X, h, c, y):
        ...     for t in range(len(X)):
        ...         stepper.step(X[t], h, c, y)
        ...     return y[0]
        >>> stepper, X = model.njit(), np.ones((100, 1))
        >>> y = last(stepper, X, *stepper.initial_state(), np.zeros(1))
        >>> bool(y == model.forward(X[None])[0][0, -1, 0])
        True
        """
        self._require_step()
        scaling = self._step_scaling(standardize)
        stepper = self._stepper(scaling, checks.flag("derivatives", derivatives))
        if stepper is None:
            raise ValueError(
                f"a step of {self.spec.hidden_size} units needs more scratch than a thread's stack "
                "has room for; use step or forward"
            )
        return stepper

    def cfunc(self, *, standardize: bool = True) -> Any:
        """One time step as a C function in this process: its address, and the network's.

        Parameters
        ----------
        standardize : bool, optional
            As in `njit`.

        Returns
        -------
        function : CFunction
            ``function.address`` is that of ``int64_t step(const int64_t *net, const T *x, T *h,
            T *c, T *y, int64_t batch)``, T float or double, and ``function.net`` its first
            argument; ``function.ctypes`` calls it from Python. x (batch, I) is read, h (layers,
            batch, P) and c (layers, batch, H) go one step on in place, y (batch, O) is written.
            It returns 0; 1 for a null pointer; 2 for a negative batch. Both addresses are good
            as long as `function` lives. It is reentrant, allocates nothing and takes no lock.

        Raises
        ------
        ValueError, BackendError
            As `njit`.

        Notes
        -----
        `scipy.LowLevelCallable` has no signature with a state, so no routine of SciPy takes this
        function as it is; a `numba.cfunc` of yours that calls the stepper of `njit` fits them all.

        Examples
        --------
        >>> import numpy as np, numlstm
        >>> function = numlstm.LSTM(1, 4, 1, rng=0).cfunc()
        >>> x, y, h, c = (np.ones((1, n), "float32") for n in (1, 1, 4, 4))
        >>> function.ctypes(function.net, *(a.ctypes.data for a in (x, h, c, y)), 1)
        0
        """
        return self.njit(standardize=standardize).cfunc

    def rollout(self, X_warm: Any, steps: int, exogenous: Any = None) -> np.ndarray:
        """Forecast freely: read what was observed, then feed every forecast back as an input.

        For networks that forecast the next value of their own first inputs: of the I features the
        first O are what the network forecasts, the others are exogenous. All steps run in compiled
        code, in the units of the data.

        Parameters
        ----------
        X_warm : array_like, shape (B, T, I), or (T,) or (T, I) for one series
            What was observed, T >= 1.
        steps : int
            Number of forecasts, S >= 1.
        exogenous : array_like, shape (B, S, I - O), or (S, I - O) for one series, optional
            The other features at the times of the forecasts; the last is not used. Default: there
            are none, I = O.

        Returns
        -------
        Y : ndarray, shape (B, S, O), or (S, O) for one series
            Forecasts for the S times after X_warm. The first is the last of `predict` on X_warm.

        Raises
        ------
        ValueError, TypeError
            For a wrong shape, a NaN or infinite value, fewer inputs than outputs, missing
            exogenous inputs; for a network that is bidirectional, fills missing inputs, predicts
            once per sequence, or does not forecast values (classes); as `njit`.
        BackendError
            Where the "cpu" backend cannot run.

        Examples
        --------
        >>> import numpy as np, numlstm
        >>> model = numlstm.LSTM(1, 4, 1, rng=0)
        >>> model.rollout(np.sin(np.arange(50)), 1000).shape
        (1000, 1)
        """
        from numlstm.stepping.rollout import read_question, rollout

        question = read_question(self._forecasting(), X_warm, steps, exogenous)
        return rollout(self.njit(), self.spec, question)

    def rollout_vjp(
        self, X_warm: Any, steps: int, exogenous: Any = None
    ) -> tuple[np.ndarray, Callable[[Any], Any]]:
        """Forecast freely, and the function that pulls gradients back through all forecasts.

        For training on the error of free runs, and for their sensitivity to what was observed.
        The gradient is exact: it goes through every forecast that was fed back.

        Parameters
        ----------
        X_warm, steps, exogenous
            As in `rollout`.

        Returns
        -------
        Y : ndarray, shape (B, S, O), or (S, O) for one series
            As from `rollout`.
        pullback : callable
            ``pullback(dY) -> RolloutGradients(theta, X_warm, exogenous)``: the gradient of
            ``sum(dY * Y)``, with X_warm (B, T, I) and exogenous (B, S, I - O), or without the first
            axis for one series; all in the units of the data.

        Raises
        ------
        ValueError, TypeError, BackendError
            As `rollout`; and `pullback` for a dY that has not the shape of Y.

        See Also
        --------
        numlstm.fit : with ``scheduled_sampling=`` it trains on the network's own forecasts.

        References
        ----------
        Back-propagation through time: Werbos (1990), Proceedings of the IEEE 78(10), over a network
        whose inputs are its outputs.

        Examples
        --------
        >>> import numpy as np, numlstm
        >>> model = numlstm.LSTM(1, 4, 1, rng=0)
        >>> series = np.sin(np.arange(60))
        >>> Y, pullback = model.rollout_vjp(series[:50], 10)
        >>> gradients = pullback(2 * (Y[:, 0] - series[50:])[:, None])  # of the squared error
        >>> gradients.theta.shape == model.theta.shape, gradients.X_warm.shape
        (True, (50, 1))
        """
        from numlstm.stepping.rollout import read_question, rollout_vjp

        question = read_question(self._forecasting(), X_warm, steps, exogenous)
        return rollout_vjp(self.njit(derivatives=True), self.spec, question)

    def _forecasting(self) -> NetworkSpec:
        """The spec of a model whose outputs can be its next inputs; others are refused."""
        self._require_step()
        spec, scaling = self.spec, self.scaling
        if spec.width > spec.input_size or self.output == "last":
            raise ValueError(
                f"this model gives {spec.width} output(s) per "
                f"{'sequence' if self.output == 'last' else 'step'} from {spec.input_size} "
                "input(s): a rollout needs a forecast of its first inputs at every step"
            )
        if scaling is not None and (scaling.y_mean is None or scaling.y_mean.size != spec.width):
            raise ValueError("this model does not forecast values that could be inputs")
        return spec

    def predict(
        self, X: Any, *, lengths: Any = None, reset: Any = None, noise_rng: Any = None
    ) -> Any:
        """What the trained network says about X, in the units of the data it was trained on.

        Parameters
        ----------
        X : array_like, shape (B, T, I), or (T,) or (T, I) for one series, or a list of series
            Inputs, in any of the forms that `fit` takes. A model trained with ``missing="mask"``
            fills a NaN as it did there.
        lengths : array_like of int, shape (B,), optional
            Length of each row of X (B, T, I); what lies behind it is padding, never read.
        reset : array_like of bool, or list of them, optional
            Where a sequence begins anew before a step: (B, T), (T,) for one series, a list of
            (T_b,) for a list.
        noise_rng : int or numpy.random.Generator, optional
            Draw the masks of `dropout` from this source, for Monte-Carlo dropout: the spread of
            such predictions says how sure the model is (Gal & Ghahramani 2016). Row i of a
            batch of T steps has masks of its own, whatever the other rows hold. Default: no noise.

        Returns
        -------
        Y : ndarray, shape (B, T, O), or (T, O) for one series, or a list of (T_b, O) for a list
            Predictions, one per step. For a model trained with ``output="last"`` one per
            sequence: (B, O), or (O,) for one series. For the losses "cross_entropy" and
            "binary_cross_entropy" they are logits, for "gaussian_nll" the means, then the
            log-variances. Without a head O is H. A row's prediction does not depend on the rows
            that it comes with; what stands in the padding of Y means nothing.

        Raises
        ------
        ValueError, TypeError
            For a wrong shape, a NaN or infinite value, or data that is not real numbers.

        Examples
        --------
        >>> import numpy as np, numlstm
        >>> model = numlstm.LSTM(1, 4, 1, rng=0)
        >>> model.predict(np.ones((2, 3, 1))).shape
        (2, 3, 1)
        >>> [Y.shape for Y in model.predict([np.ones(3), np.ones(5)])]
        [(3, 1), (5, 1)]
        """
        X, lengths, form = sequences.read_inputs(
            *(X, self.num_features, self.spec.dtype),
            lengths=lengths,
            missing=self.filling is not None,
        )
        reset = sequences.read_reset(reset, form, X.shape[1])
        X = network_inputs(X, self.filling, self.scaling, reset)
        noise = self._noise(noise_rng, X)
        arrays = self.network.backend.arrays
        X, lengths, reset = (
            None if part is None else arrays.asarray(part) for part in (X, lengths, reset)
        )
        Y, _, _ = self.network.forward(
            *(self._weights(noise), X, None, lengths),
            last=self.output == "last",
            reset=reset,
            noise=noise,
        )
        Y = arrays.to_numpy(Y)
        return form.restore(self.scaling.outputs(Y) if self.scaling else Y)

    def save(self, path: str | os.PathLike) -> None:
        """Write the model to a file, whole or not at all.

        The file is an .npz archive under a checksum and does not depend on the backend.

        Parameters
        ----------
        path : str or path-like
            Where to write; a file that is there is replaced once the new one is complete.

        Raises
        ------
        OSError
            Where the file cannot be written; an older file at `path` is then still whole.

        See Also
        --------
        numlstm.load : read the model back.

        Examples
        --------
        >>> import os, tempfile, numlstm
        >>> model = numlstm.LSTM(3, 8, 2, rng=0)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     model.save(os.path.join(folder, "model.npz"))
        ...     copy = numlstm.load(os.path.join(folder, "model.npz"))
        >>> bool((copy.theta == model.theta).all())
        True
        """
        arrays = {"theta": self._theta}
        for name, parts in (("scaling", self.scaling), ("filling", self.filling)):
            named = parts._asdict().items() if parts is not None else ()
            arrays |= {f"{name}/{key}": part for key, part in named if part is not None}
        spec = dataclasses.replace(self.spec, precision=None)  # where it runs, as the backend
        meta = {"spec": dataclasses.asdict(spec), "output": self.output}
        files.write(path, "model", arrays, meta)

    def export_c(self, path: str | os.PathLike, *, standardize: bool = True) -> None:
        """Write the network as a C99 file with its numbers in it, and its header beside it.

        `docs/embedding.md` shows how to call it. The file NAME.c holds NAME_reset and NAME_step,
        one time step on an explicit state, for one sequence, with dropout off. It needs no library
        but libm, allocates nothing, may run in any number of threads, and answers bad arguments
        with a status code.

        Parameters
        ----------
        path : str or path-like
            The C file, NAME.c, where NAME begins the names in it: a letter, then letters, digits
            and underscores, at most 40. Files that are there are replaced.
        standardize : bool, optional
            Whether x and y are in the units of the data, where the model was trained with
            standardisation, as in `predict`. False: in the network's units, as in `step`.

        Raises
        ------
        ValueError
            For another kind of name; for a bidirectional network, which has no step; with
            ``standardize=True`` for a model that fills missing inputs; for a parameter that is not
            finite.
        TypeError
            Where `standardize` is not a bool.
        OSError
            Where a file cannot be written.

        See Also
        --------
        export_fortran : the same with a Fortran module.

        Examples
        --------
        >>> import os, tempfile, numlstm
        >>> model = numlstm.LSTM(3, 8, 2, rng=0)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     model.export_c(os.path.join(folder, "river.c"))
        ...     sorted(os.listdir(folder))
        ['river.c', 'river.h']
        """
        from numlstm.export import c

        c.export_c(self._source(standardize), path)

    def export_fortran(self, path: str | os.PathLike, *, standardize: bool = True) -> None:
        """Write the network as a Fortran module over the C file of `export_c`, and that file.

        The module NAME has the type NAME_state and the functions NAME_reset and NAME_step, as in
        C; compile and link NAME.c with it.

        Parameters
        ----------
        path : str or path-like
            The Fortran file, NAME.f90; NAME.c and NAME.h go beside it. NAME is as for `export_c`.
        standardize : bool, optional
            As for `export_c`.

        Raises
        ------
        ValueError, TypeError, OSError
            As `export_c`.

        Examples
        --------
        >>> import os, tempfile, numlstm
        >>> model = numlstm.LSTM(3, 8, 2, rng=0)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     model.export_fortran(os.path.join(folder, "river.f90"))
        ...     sorted(os.listdir(folder))
        ['river.c', 'river.f90', 'river.h']
        """
        from numlstm.export import fortran

        fortran.export_fortran(self._source(standardize), path)

    def _source(self, standardize: bool) -> Any:
        """What an exported file is made of."""
        from numlstm.export.c import Source

        self._require_step()
        checks.require_finite("theta", self._theta)
        scaling = self._step_scaling(standardize)
        summary = repr(self).removeprefix("<LSTM: ").rpartition(", ")[0]
        return Source(self.spec, self._theta, scaling, summary)

    def _step_scaling(self, standardize: bool) -> Scaling | None:
        """What takes x and y of an embedded step from and to the units of the data, if asked to."""
        standardize = checks.flag("standardize", standardize)
        if standardize and self.filling is not None:
            raise ValueError(
                "this model fills missing inputs, which one step cannot do alone; pass "
                "standardize=False and give it filled, standardised inputs with their mask channels"
            )
        return self.scaling if standardize else None

    def _noise(self, rng: Any, X: np.ndarray) -> NetworkNoise | None:
        """Masks drawn for X, or None where there is no source for them."""
        if rng is None:
            return None
        if self.spec.dropout == Dropout():
            raise ValueError("noise_rng= needs a model with dropout, this one has no rate above 0")
        return self.network.draw_noise(Draws(new_seed(rng)), 0, *X.shape[:2])

    def _weights(self, noise: NetworkNoise | None = None):
        """theta as the backend reads it; packed again only where theta has changed since."""
        if noise is not None:
            return self.network.pack(self._theta, noise)
        content, packed = self._theta.tobytes(), self._packed
        if packed is None or packed[0] != content:
            self._packed = packed = (content, self.network.pack(self._theta))
        return packed[1]

    def _run(self, X: Any, state: Any, lengths: Any, reset: Any) -> tuple[derivatives.Run, Door]:
        """What the derivatives of the network are taken at, in NumPy's memory."""
        door = Door(self.network.on_host, X)
        return derivatives.Run(self._theta, *door.enter(X, state, lengths, reset)), door

    def _require_step(self) -> None:
        """Refuse networks that have none."""
        if self.spec.bidirectional:
            raise ValueError(
                "a bidirectional network has no step: its output at a time depends on what comes "
                "later; use forward on the whole sequence"
            )


def load(path: str | os.PathLike, *, backend: str = "auto", precision: str | None = None) -> LSTM:
    """Read a model that `LSTM.save` wrote.

    Parameters
    ----------
    path : str or path-like
        The file.
    backend : {"auto", "cpu", "cuda", "reference"}, optional
        Where the arithmetic of the loaded model runs; the file does not say.
    precision : {"tf32", "bf16"}, optional
        As in `LSTM`; nor does it say that.

    Returns
    -------
    model : LSTM
        The model, its parameters equal to the saved ones bit for bit.

    Raises
    ------
    StorageError
        For a file that is damaged, cut short, of another kind or of another version of the
        format; the message names it and says which. Nothing in a file is ever unpickled.
    OSError
        For a file that is missing or cannot be read.
    ValueError, BackendError
        For an unknown backend, or one that cannot run here or has no such precision.

    Examples
    --------
    >>> import os, tempfile, numlstm
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "model.npz")
    ...     numlstm.LSTM(3, 8, 2, dtype="float64", rng=0).save(path)
    ...     numlstm.load(path, backend="reference")
    <LSTM: 3 inputs, 1 layer of 8 units, 2 outputs; 402 parameters, float64, reference backend>
    """
    arrays, meta = files.read(path, "model")
    spec = NetworkSpec.restored(meta["spec"])
    spec = dataclasses.replace(spec, precision=precision)
    spec.require_sense()
    model = LSTM._of(spec, backend, arrays["theta"])
    model.output = meta["output"]
    for name, kind in (("scaling", Scaling), ("filling", Filling)):
        start = f"{name}/"
        parts = {k.removeprefix(start): arrays[k] for k in arrays if k.startswith(start)}
        setattr(model, name, kind(**parts) if parts else None)
    return model


def _count(number: int, noun: str) -> str:
    """The number with its noun, "1 layer" or "2 layers"."""
    return f"{number} {noun}" + ("" if number == 1 else "s")
