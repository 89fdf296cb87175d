"""The LSTM model: what it is made of, its passes over sequences, and its step."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from numlstm.architecture.cell import Cell
from numlstm.architecture.keywords import SYNONYMS
from numlstm.architecture.parameters import Init
from numlstm.architecture.spec import Dropout, Gradients, NetworkSpec, State
from numlstm.model.base import digest, drawn
from numlstm.model.derivatives import Derivatives
from numlstm.model.forecast import Forecast
from numlstm.model.inputs import InputReader, ModelInputs
from numlstm.model.persistence import Arithmetic, Persistence, read_model
from numlstm.model.summary import Summary
from numlstm.model.trace import Tracing
from numlstm.model.units import Units
from numlstm.network.network import network_on
from numlstm.utils import checks, nouns
from numlstm.utils.files import Target
from numlstm.utils.nouns import suggesting
from numlstm.utils.random_streams import generator
from numlstm.utils.types import AnyArray, Array

LARGE_STEP = 3e5  # multiply-adds from which a step is left to the threads


class LSTM(Derivatives, Tracing, Forecast, Persistence, Summary, Units):
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
        Size P <= H of the hidden state, a linear projection of what the output gate lets through
        (Sak et al. 2014); `Cell` has a limit for it. None: no projection, P = H.
    static_size : int, optional
        Number of attributes of a whole sequence, S, that `forward` and `predict` take beside its
        steps, as ``static=``. Their product with ``weight_is_l0`` is added to the gates of the
        first layer at every step, computed once per sequence: the network is the one whose further
        inputs are the attributes, repeated at every step. None: no attributes.
    direct_input : bool, optional
        Direct connections from the inputs to the outputs: to the head's W h + b is added the
        product of ``head_direct`` and the input of the same step, mask channels and what is
        known ahead among it. Where there is one output per sequence, it is the input of each row's
        last step, in either direction. They are the shortcut connections of Gers et al. (2000),
        section 4. Dropout leaves them alone. Needs a head.
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
        Source of the initial weights, as in Scientific Python's SPEC 7.
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
        The rows are in gate order i, f, g, o; 3H without a forget gate of its own. After the
        bias come what the variant of the cell adds, as `Cell` says, with a projection
        ``weight_hr_l0`` (P, H), and with a learned state ``initial_h_l0`` (P,) and
        ``initial_c_l0`` (H,). Where there are attributes the first layer ends
        with ``weight_is_l0`` (4H, S), drawn as the weights of S inputs are. Reverse layers end in
        ``_reverse``, and the head and the layers above then read 2P features. With direct
        connections ``head_direct`` (O, I) is the last; it begins at 0, so that the network begins
        as the one without it.
    scaling : Scaling or None
        From the units of the data to the network's, ``inputs(X)``, and back, ``outputs(Y)``; set
        by `fit` with ``standardize=True`` or by `set_scaling`, None where there is nothing to
        convert.
    filling : Imputer or None
        How missing inputs are filled, set by `fit` with ``missing="mask"``.
    feature_names_in_ : ndarray of str, shape (I,), or None
        Names of the features, where the data of `fit` had some.
    is_new : bool
        Whether `theta` is byte for byte what was drawn when the model was made, here or before it
        was saved; `fit` standardises the data for such a model as for one of its own.
    horizon : int or None
        How many steps the outputs are ahead, for a model fitted with one.
    num_future : int
        Number of features that are known ahead, F, which the model reads beside its inputs.
    forecasts : bool or None
        Whether the outputs are values of the first O inputs one step later, as `rollout` needs;
        set by `fit`, by its targets and its loss. None: the model was never fitted.
    window : int or None
        The steps of the windows over series that `fit` trained it on, which `predict` reads for
        every step; None: whole sequences.

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
        static_size: int | None = None,
        direct_input: bool = False,
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
            static_size=static_size,
            direct_input=direct_input,
        )
        spec.require_sense()
        if spec.num_layers == 1 and spec.dropout.layers:
            raise ValueError(
                "dropout lies between layers: with num_layers=1 it does nothing; other rates have "
                "names, as in dropout={'states': 0.2}"
            )
        first = nouns.read(Init, "init", init)
        first.require_sense(spec.cell, spec.hidden_size, spec.dtype)
        network = network_on(spec, backend)
        self._become(network, drawn(spec, generator(rng), first))
        self._drawn = digest(self._theta)

    def forward(
        self,
        X: Any,
        state: Any = None,
        *,
        lengths: Any = None,
        reset: Any = None,
        static: Any = None,
        noise_rng: Any = None,
    ) -> tuple[Array, State]:
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
        static : array_like, shape (B, S), or (S,) for a batch of one
            Attributes of the sequences, of a model with a `static_size`, which needs them.
        noise_rng : int or numpy.random.Generator, optional
            Draw the masks of `dropout` from this source, as in training. Default: no noise.

        Returns
        -------
        Y : ndarray, shape (B, T, O), or (B, T, P) without a head
            Output at every step, whatever `output` is; zero in the padding. At the last step of a
            bidirectional network the reverse half has read one step: for ``output="last"``
            `predict` takes the half that has read all of them.
        state : State
            State after each row's own last step.

        Raises
        ------
        ValueError, TypeError
            For a wrong shape, a NaN or infinite value, or data that is not real numbers; and for
            numbers so large that a sum may leave the range of the dtype. Large inputs alone, up to
            1e30 and more, saturate the gates, which is exact.
        MemoryError
            For more rows and steps than memory holds.

        Examples
        --------
        >>> import numpy as np, numlstm
        >>> model = numlstm.LSTM(1, 4, rng=0)
        >>> Y, state = model.forward(np.ones((2, 3, 1)))
        >>> bool((Y[:, -1] == state.h[-1]).all())
        True
        """
        reader = InputReader(self.network, X)
        inputs = reader.inputs(X, state, lengths, reset, static)
        derived = self._derived()
        limits = derived.range
        limits.require_products(inputs)
        noise, seen = self._noise(noise_rng, inputs.X), limits.watch()
        Y, final, _ = self._pass_for(inputs.X)(
            *(self.network, derived.weights_with(noise), inputs.X, inputs.state, inputs.lengths),
            reset=inputs.reset,
            noise=noise,
            seen=seen,
            static=inputs.static,
        )
        limits.require_outputs((Y, final), seen)
        return reader.to_caller(Y), reader.to_caller(final)

    def vjp(
        self,
        X: Any,
        state: Any = None,
        *,
        lengths: Any = None,
        reset: Any = None,
        static: Any = None,
        noise_rng: Any = None,
    ) -> tuple[Array, Callable[..., Gradients]]:
        """Forward pass, and the function that pulls gradients back through it.

        Works in the network's own (standardised) units: `model.scaling.inputs` and `.outputs`
        convert, `predict` does so by itself.

        Parameters
        ----------
        X : array_like, shape (B, T, I)
            The sequences.
        state, lengths, reset, static, noise_rng : optional
            As in `forward`.

        Returns
        -------
        Y : ndarray, shape (B, T, O)
            As from `forward`.
        pullback : callable
            ``pullback(dY, dstate=None) -> Gradients(theta, X, state)``: the gradient of
            ``sum(dY * Y) + sum(dstate.h * h) + sum(dstate.c * c)``, h and c the final state.
            Anything, even a NaN, may stand in the padding of dY. The gradient of a learned
            initial state is summed into `theta`, and per row in `state`. Of a model with a
            `static_size` it is ``StaticGradients(theta, X, state, static)``, the last (B, S).

        Raises
        ------
        ValueError, TypeError
            As `forward`; and `pullback` for a dY that has not the shape of Y, and where finite
            numbers have a gradient beyond the range of the dtype.

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
        reader, copy = InputReader(self.network, X), self.network.backend.arrays.copy
        inputs = reader.inputs(X, state, lengths, reset, static)
        derived = self._derived()
        limits = derived.range
        limits.require_products(inputs)
        # the tape outlives this call: what the caller writes to his arrays later is not in it
        own = copy(inputs.X), inputs.state and State(*map(copy, inputs.state))
        noise, seen = self._noise(noise_rng, inputs.X), limits.watch()
        weights = derived.weights_with(noise)
        Y, final, tape = self.network.forward(
            *(weights, *own, inputs.lengths),
            tape=True,
            reset=inputs.reset,
            noise=noise,
            seen=seen,
            static=None if inputs.static is None else copy(inputs.static),
        )
        limits.require_outputs((Y, final), seen)

        def pullback(dY: Any, dstate: Any = None) -> Any:
            dY = reader.array("dY", dY, Y.shape)
            dstate = reader.state("dstate", dstate, Y.shape[0])
            gradients = self.network.backward(weights, tape, dY, dstate, need_dX=True)
            limits.require_results("the gradient", gradients, dY, dstate)
            return reader.to_caller(gradients)

        return reader.to_caller(Y), pullback

    def step(
        self, x: Any, state: Any = None, *, reset: Any = None, static: Any = None
    ) -> tuple[Array, State]:
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
        static : array_like, shape (S,) or (B, S), optional
            Attributes of the sequences, of a model with a `static_size`, which needs them; (S,) is
            that of every row. What they add to the gates is kept from step to step, as long as they
            are the same.

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
        reader, size = InputReader(self.network, x), self.spec.input_size
        x = reader.read("x", x)
        single = x.ndim == 1
        checks.shape("x", x, (size,) if single else ("B", size))
        rows = x.reshape((1, size)) if single else x
        if not single:
            reader.require_room("x", x.shape[:1], x.shape)
        state = reader.state("state", state, rows.shape[0], finite=False)
        if static is not None or self.spec.static_size:
            # those of one sequence are those of every row
            alike = static is not None and np.ndim(static) == 1
            static = reader.static(static, 1 if alike else rows.shape[0])
        taken = None
        if reset is None and (static is None or reader.bound <= self._derived().range.room):
            taken = self._step_at_once(rows, state, static)
        if taken is None:
            if reset is not None:
                reset = checks.flags("reset", reset, x.shape[:-1]).reshape(-1, 1)
            taken = self._step_by_forward(reader, rows, state, reset, static)
        y, state = taken
        return reader.to_caller(y.reshape(y.shape[1:]) if single else y), reader.to_caller(state)

    def _step_by_forward(
        self,
        reader: InputReader,
        rows: AnyArray,
        state: State | None,
        reset: AnyArray | None,
        static: AnyArray | None,
    ) -> tuple[AnyArray, State]:
        """(y, state) from a forward pass of one step; here what is not finite is refused.

        And what may overflow.
        """
        reader.require_finite("x", rows)
        for name, part in zip("hc", state or (), strict=False):
            reader.require_finite(f"state.{name}", part)
        X = reader.to_backend(rows.reshape((rows.shape[0], 1, rows.shape[1])))
        derived = self._derived()
        limits = derived.range
        move, batch = reader.to_backend, rows.shape[0]
        static = move(static)
        if static is not None and static.shape[0] != batch:
            static = self.network.backend.arrays.repeated(static.reshape(static.size), batch)
        limits.require_products(ModelInputs(X, state, None, None, reader.bound, static))
        seen = limits.watch()
        Y, state, _ = self.network.forward(
            derived.weights, X, state, reset=move(reset), seen=seen, static=static
        )
        limits.require_outputs((Y, state), seen)
        return Y.reshape((Y.shape[0], Y.shape[2])), state

    def _step_at_once(
        self, rows: AnyArray, state: State | None, static: AnyArray | None
    ) -> tuple[AnyArray, State] | None:
        """(y, state) from one call of compiled code for all layers; None where there is none.

        Nor where something is not finite or very large, or where so much is to be done that threads
        are worth it.
        """
        if self.network.backend.name != "cpu" or len(rows) * self._theta.size > LARGE_STEP:
            return None
        derived = self._derived()
        limits = derived.range
        stepper = self._stepper(derived, None, static=static) if limits.steps else None
        taken = None if stepper is None else stepper.advanced(rows, state)
        return taken if taken is None or limits.tame or limits.are_moderate(taken) else None


def load(
    path: Target, *, backend: str = "auto", precision: str | None = None, dtype: Any = None
) -> LSTM:
    """Read a model that `LSTM.save` wrote.

    Parameters
    ----------
    path : str, bytes, path-like or binary file
        The file, a regular one. One that is open, which may be a pipe, is read from where it stands
        to its end, where its model must end too: of several that were written into one file, give
        each as ``io.BytesIO(part)``.
    backend : {"auto", "cpu", "cuda", "reference"}, optional
        Where the arithmetic of the loaded model runs; the file does not say.
    precision : {"tf32", "bf16"}, optional
        As in `LSTM`; nor does it say that.
    dtype : {"float32", "float64"}, optional
        Type of the loaded model, as by `LSTM.astype`. Default: that of the saved one.

    Returns
    -------
    model : LSTM
        The model, its parameters equal to the saved ones bit for bit, or rounded to `dtype`.

    Raises
    ------
    StorageError
        For a file that is damaged, cut short, of another kind or of another version of the
        format; for one whose parts do not fit each other, or with parameters that are not finite,
        though its checksum holds, which anyone can compute; for one that the memory does not hold;
        and for a path that is a pipe, a socket or a device. The message names it and says what is
        wrong. Nothing in a file is ever unpickled or evaluated.
    OSError
        For a file that is missing or cannot be read, and for a folder.
    ValueError, BackendError
        For an unknown backend, or one that cannot run here or has no such precision; and for a
        parameter beyond the range of `dtype`.
    TypeError
        For a file of text, and for what is not a path.

    Examples
    --------
    >>> import os, tempfile, numlstm
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "model.npz")
    ...     numlstm.LSTM(3, 8, 2, dtype="float64", rng=0).save(path)
    ...     numlstm.load(path, backend="reference")
    <LSTM: 3 inputs, 1 layer of 8 units, 2 outputs; 402 parameters, float64, reference backend>
    """
    return read_model(LSTM, path, Arithmetic(backend, precision, dtype))
