"""The LSTM model: parameters and a backend, with forward, vjp, step, predict, save and load."""

import dataclasses
import os
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from numlstm import backends, checks, params, sequences, storage
from numlstm.network import Network
from numlstm.scaling import Scaling
from numlstm.spec import Gradients, NetworkSpec, State


class LSTM:
    """A long short-term memory network: stacked layers and an optional linear head.

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
    init : {"orthogonal", "uniform"}, optional
        How the weights are drawn. "orthogonal": input weights uniform (Glorot & Bengio 2010,
        eq. 16), recurrent weights orthogonal per gate (Saxe et al. 2014). "uniform": all weights
        uniform in +-1/sqrt(H). Biases are 0, the forget gate's 1 (Jozefowicz et al. 2015).
    dtype : {"float32", "float64"}, optional
        Type of the parameters and of all arithmetic.
    rng : None, int, or numpy.random.Generator, optional
        Source of the initial weights, as in SPEC 7.
    backend : {"auto", "cpu", "reference"}, optional
        Where the arithmetic runs; "auto" is the fastest that can run here.

    Attributes
    ----------
    theta : ndarray, shape (n,)
        The one flat parameter vector. Writing to it changes the model.
    params : mapping of str to ndarray
        Named, writable views into `theta`: ``weight_ih_l0`` (4H, I), ``weight_hh_l0`` (4H, H),
        ``bias_l0`` (4H,), one set per layer, then ``head_weight`` (O, H), ``head_bias`` (O,).
        The rows are in gate order i, f, g, o.
    scaling : Scaling or None
        From the units of the data to the network's, ``inputs(X)``, and back, ``outputs(Y)``; set
        by `fit` with ``standardize=True``, None where there is nothing to convert.

    Raises
    ------
    ValueError, TypeError
        For a size below 1, an unknown dtype, initialiser or backend.
    BackendError
        For a backend that cannot run here; the message says what is missing.

    References
    ----------
    Hochreiter & Schmidhuber (1997), Neural Computation 9(8), 1735-1780.
    Gers, Schmidhuber & Cummins (2000), Neural Computation 12(10), 2451-2471, eqs. 3.1-3.6.

    Examples
    --------
    >>> import numpy as np, numlstm
    >>> model = numlstm.LSTM(3, 8, 2, rng=0)
    >>> Y, state = model.forward(np.zeros((5, 20, 3)))
    >>> Y.shape, state.h.shape
    ((5, 20, 2), (1, 5, 8))
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        output_size: int | None = None,
        *,
        num_layers: int = 1,
        init: str = "orthogonal",
        dtype: Any = "float32",
        rng: Any = None,
        backend: str = "auto",
    ):
        self.spec = NetworkSpec(
            checks.size("input_size", input_size),
            checks.size("hidden_size", hidden_size),
            None if output_size is None else checks.size("output_size", output_size),
            checks.size("num_layers", num_layers),
            checks.dtype(dtype),
        )
        checks.choice("init", init, ("orthogonal", "uniform"))
        self.network = Network(self.spec, backends.get(backend))
        self._theta = params.initialise(self.spec, np.random.default_rng(rng), init)
        self._packed: tuple | None = None
        # what training settles, for `predict`: "sequence" or "last", and the units of the data
        self.output = "sequence"
        self.scaling: Scaling | None = None

    def __repr__(self) -> str:
        """Sizes, parameters, dtype and backend on one line."""
        spec = self.spec
        head = "no head" if spec.head is None else _count(spec.width, "output")
        return (
            f"<LSTM: {_count(spec.input_size, 'input')}, {_count(spec.num_layers, 'layer')} "
            f"of {_count(spec.hidden_size, 'unit')}, {head}; {spec.num_parameters} parameters, "
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
        return params.split(self.spec.shapes, self._theta)

    def forward(self, X: Any, state: Any = None, *, lengths: Any = None):
        """Run a batch of sequences through the network.

        Works in the network's own (standardised) units: `model.scaling.inputs` and `.outputs`
        convert, `predict` does so by itself.

        Parameters
        ----------
        X : array_like, shape (B, T, I)
            Input, batch first.
        state : State, optional
            Initial state, each of h and c (num_layers, B, H). Default: zeros.
        lengths : array_like of int, shape (B,), optional
            Length of each row; what lies behind it is padding, which is never read.

        Returns
        -------
        Y : ndarray, shape (B, T, O), or (B, T, H) without a head
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
        X, state, lengths = self._checked(X, state, lengths)
        Y, final, _ = self.network.forward(self._weights(), X, state, lengths)
        return Y, final

    def vjp(
        self, X: Any, state: Any = None, *, lengths: Any = None
    ) -> tuple[np.ndarray, Callable[..., Gradients]]:
        """Forward pass, and the function that pulls gradients back through it.

        Works in the network's own (standardised) units: `model.scaling.inputs` and `.outputs`
        convert, `predict` does so by itself.

        Parameters
        ----------
        X, state, lengths
            As in `forward`.

        Returns
        -------
        Y : ndarray, shape (B, T, O)
            As from `forward`.
        pullback : callable
            ``pullback(dY, dstate=None) -> Gradients(theta, X, state)``: the gradient of
            ``sum(dY * Y) + sum(dstate.h * h) + sum(dstate.c * c)``, h and c the final state.
            Anything, even a NaN, may stand in the padding of dY.

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
        X, state, lengths = self._checked(X, state, lengths)
        # the tape outlives this call: what the caller writes to his arrays later is not in it
        X, state = X.copy(), State(*(part.copy() for part in state))
        weights = self._weights()
        Y, _, tape = self.network.forward(weights, X, state, lengths, tape=True)

        def pullback(dY: Any, dstate: Any = None) -> Gradients:
            dY = checks.array("dY", dY, self.spec.dtype, finite=False)
            checks.shape("dY", dY, Y.shape)
            if dstate is not None:
                dstate = self._checked_state("dstate", dstate, X.shape[0])
            return self.network.backward(weights, tape, dY, dstate, need_dX=True)

        return Y, pullback

    def step(self, x: Any, state: Any = None):
        """One time step; T calls equal one `forward` over T steps, bit for bit.

        Works in the network's own (standardised) units: `model.scaling.inputs` and `.outputs`
        convert, `predict` does so by itself.

        Parameters
        ----------
        x : array_like, shape (I,) or (B, I)
            Input of this step.
        state : State, optional
            State before the step, each of h and c (num_layers, B, H), B = 1 for x of shape (I,).
            Default: zeros.

        Returns
        -------
        y : ndarray, shape (O,) or (B, O)
            Output of this step, (H,) or (B, H) without a head.
        state : State
            State after the step.

        Raises
        ------
        ValueError, TypeError
            As `forward`.

        Examples
        --------
        >>> import numpy as np, numlstm
        >>> model = numlstm.LSTM(1, 4, 1, rng=0)
        >>> y, state = model.step([0.5])
        >>> y, state = model.step([0.7], state)
        >>> y.shape
        (1,)
        """
        x = checks.array("x", x, self.spec.dtype)
        single = x.ndim == 1
        checks.shape("x", x, (self.spec.input_size,) if single else ("B", self.spec.input_size))
        rows = x[None] if single else x
        state = self._checked_state("state", state, len(rows))
        Y, state, _ = self.network.forward(self._weights(), rows[:, None], state)
        return (Y[0, 0] if single else Y[:, 0]), state

    def predict(self, X: Any, *, lengths: Any = None) -> Any:
        """What the trained network says about X, in the units of the data it was trained on.

        Parameters
        ----------
        X : array_like, shape (B, T, I), or (T,) or (T, I) for one series, or a list of series
            Inputs, in any of the forms that `fit` takes.
        lengths : array_like of int, shape (B,), optional
            Length of each row of X (B, T, I); what lies behind it is padding, never read.

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
            X, self.spec.input_size, self.spec.dtype, lengths=lengths
        )
        X = self.scaling.inputs(X) if self.scaling else X
        state, last = self.network.zero_state(len(X)), self.output == "last"
        Y, _, _ = self.network.forward(self._weights(), X, state, lengths, last=last)
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
        parts = self.scaling._asdict() if self.scaling else {}
        scaling = {f"scaling/{name}": part for name, part in parts.items() if part is not None}
        meta = {"spec": dataclasses.asdict(self.spec), "output": self.output}
        storage.write(path, "model", {"theta": self._theta, **scaling}, meta)

    def _weights(self):
        """theta as the backend reads it; packed again only where theta has changed since."""
        content, packed = self._theta.tobytes(), self._packed
        if packed is None or packed[0] != content:
            self._packed = packed = (content, self.network.pack(self._theta))
        return packed[1]

    def _checked(self, X: Any, state: Any, lengths: Any):
        X = checks.array("X", X, self.spec.dtype, finite=False)
        checks.shape("X", X, ("B", "T", self.spec.input_size))
        lengths = checks.lengths(lengths, X.shape[0], X.shape[1])
        if lengths is None:
            checks.require_finite("X", X)
        else:  # padding may hold anything
            valid = sequences.mask(lengths, X.shape[1])[..., None]
            checks.require_finite("X", np.where(valid, X, X.dtype.type(0)))
        return X, self._checked_state("state", state, X.shape[0]), lengths

    def _checked_state(self, name: str, state: Any, batch: int) -> State:
        if state is None:
            return self.network.zero_state(batch)
        try:
            h, c = state
        except (TypeError, ValueError):
            raise TypeError(f"{name} must be a State(h, c), received {type(state)}") from None
        expected = (self.spec.num_layers, batch, self.spec.hidden_size)
        arrays = []
        for part, value in (("h", h), ("c", c)):
            value = checks.array(f"{name}.{part}", value, self.spec.dtype)
            checks.shape(f"{name}.{part}", value, expected)
            arrays.append(value)
        return State(*arrays)


def load(path: str | os.PathLike, *, backend: str = "auto") -> LSTM:
    """Read a model that `LSTM.save` wrote.

    Parameters
    ----------
    path : str or path-like
        The file.
    backend : {"auto", "cpu", "reference"}, optional
        Where the arithmetic of the loaded model runs; the file does not say.

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
        For an unknown backend, or one that cannot run here.

    Examples
    --------
    >>> import os, tempfile, numlstm
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "model.npz")
    ...     numlstm.LSTM(3, 8, 2, dtype="float64", rng=0).save(path)
    ...     numlstm.load(path, backend="reference")
    <LSTM: 3 inputs, 1 layer of 8 units, 2 outputs; 402 parameters, float64, reference backend>
    """
    arrays, meta = storage.read(path, "model")
    model = LSTM(**meta["spec"], init="uniform", rng=0, backend=backend)
    model.theta = arrays.pop("theta")
    model.output = meta["output"]
    if arrays:
        model.scaling = Scaling(**{key.removeprefix("scaling/"): arrays[key] for key in arrays})
    return model


def _count(number: int, noun: str) -> str:
    """The number with its noun, "1 layer" or "2 layers"."""
    return f"{number} {noun}" + ("" if number == 1 else "s")
