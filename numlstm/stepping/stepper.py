"""A trained network as a value for compiled code: `stepper.step(x, h, c, y)` in any `@njit`.

What compiled code calls is an address in a block of memory, which has the network and the addresses
of our own compiled functions. So the caller's machine code has nothing of ours in it: it compiles
at once, and `cache=True` keeps it good for any other network, and for any other version of the
kernels. Beside the address it holds a counted reference to the `Stepper`, which owns the memory:
lists, fields and results keep it, as they keep arrays.
"""

import ctypes
from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.errors import TypingError
from numba.core.imputils import lower_constant
from numba.extending import (
    NativeValue,
    box,
    intrinsic,
    models,
    overload_method,
    register_jitable,
    register_model,
    unbox,
)

from numlstm import backends
from numlstm.architecture.spec import NetworkSpec, State
from numlstm.backends.cpu.codegen.vectors import at, get
from numlstm.backends.cpu.launch import uniform
from numlstm.data.scaling import Scaling
from numlstm.network.network import Network, Weights
from numlstm.stepping.kernels.pointers import call_at, or_null
from numlstm.stepping.kernels.step import JVP, SIZES, STEP, VJP, WRONG_SIZE, Sizes, step_once
from numlstm.stepping.memory import Attributes, Bound, NetMemory, bind, of_gates, write_net


class CFunction(NamedTuple):
    """One step as a function for callers in C: see `numlstm.LSTM.cfunc`.

    Attributes
    ----------
    address : int
        Of ``int64_t step(const int64_t *net, const T *x, T *h, T *c, T *y, int64_t batch)``, T
        float or double.
    net : int
        Address of the network, the first argument.
    ctypes : ctypes function
        The function, callable from Python with addresses.
    owner : object
        Keeps the network in memory; hold it as long as `net` is in use.
    """

    address: int
    net: int
    ctypes: Any
    owner: Any


class Made(NamedTuple):
    """What a stepper is made of, beside its net."""

    spec: NetworkSpec
    initial: State  # h (layers, 1, P) and c (layers, 1, H)
    derivatives: bool
    static: Any  # the weights of the attributes as the backend "cpu" reads them, or None


class Stepper:
    """One time step of a trained network, for compiled code; `LSTM.njit` makes it.

    Pass it to a function under ``numba.njit`` as an argument, and call there
    ``stepper.step(x, h, c, y)``: x (I,) is read, the state h (layers, P) and c (layers, H) goes one
    step on in place, y (O,) is written. Or, for B sequences at once, x (B, I), h (layers, B, P),
    c (layers, B, H) and y (B, O).

    All arrays are C-contiguous and of the model's dtype; another kind is refused when the caller
    is compiled. A step returns 0, or 2 where an array has the wrong size, and then nothing was
    written. It allocates nothing, takes no lock, never raises, and any number of threads
    may call it at once, each with a state of its own. Infinite and NaN inputs go through.

    A stepper of ``model.njit(derivatives=True)`` has two more functions of that kind:

    ``stepper.step_jvp(x, h, c, y, dx, dh, dc, dy)``
        The step, to rounding, and its derivative along a direction in x, h and c (forward mode):
        dh and dc go one step on beside h and c, dy is written. theta is held still.
    ``stepper.step_vjp(x, h, c, dy, dh, dc, dx[, dtheta])``
        Gradients through a step, back (reverse mode). x, h and c are what the step was given, the
        state *before* it; dy is the gradient of the y it gave. dh and dc, of the state after the
        step, become those of the state before it; dx is written; to dtheta (n,), if it is given,
        the gradient of ``model.theta`` is added, summed over the sequences.

    Each d array has the shape and the units of what stands behind its d. To go back through many
    steps keep the state before each of them.

    Attributes
    ----------
    dtype : str
        Of all arrays.
    input_size, output_size : int
        I and O.
    address : int
        Of the network in memory.

    Raises
    ------
    ValueError
        From `LSTM.njit`; a stepper is not constructed directly.

    Examples
    --------
    >>> import numpy as np, numba, numlstm
    >>> @numba.njit
    ... def simulate(stepper, X, h, c, Y):
    ...     for t in range(len(X)):
    ...         stepper.step(X[t], h, c, Y[t])
    >>> model = numlstm.LSTM(1, 4, 1, rng=0)
    >>> stepper = model.njit()
    >>> X, Y = np.ones((3, 1), "float32"), np.zeros((3, 1), "float32")
    >>> h, c = stepper.initial_state()
    >>> simulate(stepper, X, h, c, Y)
    >>> bool((Y == model.forward(X[None])[0][0]).all())
    True
    """

    def __init__(self, net: NetMemory, made: Made, origin: "Stepper | None" = None):
        self._net, self._made = net, made
        self._origin = origin  # whose memory this one reads too
        self.dtype = made.spec.dtype
        self.input_size, self.output_size = net.sizes.inputs, net.sizes.width
        self.address = net.memory.ctypes.data
        # where Numba looks first: a call from Python costs 1 us, not 18
        self._numba_type_ = StepperType(self.dtype, made.derivatives)

    def __repr__(self) -> str:
        """Sizes and dtype on one line."""
        return f"<Stepper: {self.input_size} inputs, {self.output_size} outputs, {self.dtype}>"

    def __getattr__(self, name: str) -> Any:
        """Refused: what compiled code alone has is named."""
        if name in ("step", "step_jvp", "step_vjp"):
            raise AttributeError(
                f"stepper.{name} is for compiled code: call it inside a function under numba.njit "
                "that has the stepper as an argument; from Python take model.step(x, state)"
            )
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def __reduce__(self):
        """Refused: what it holds are addresses of this process."""
        raise TypeError(
            "a Stepper holds addresses of this process: send the model, then njit(); a function "
            "with cache=True takes it as an argument, not from a closure"
        )

    def initial_state(self, batch: int | None = None) -> State:
        """The state before anything was seen, the learned one or zeros, in arrays of its own.

        Parameters
        ----------
        batch : int, optional
            Number of sequences. Default: one, without an axis for it.

        Returns
        -------
        state : State
            h (layers, P) and c (layers, H), or (layers, batch, P) and (layers, batch, H).

        Raises
        ------
        Nothing.

        Examples
        --------
        >>> import numlstm
        >>> h, c = numlstm.LSTM(1, 4, rng=0).njit().initial_state(batch=3)
        >>> h.shape
        (1, 3, 4)
        """
        if batch is None:
            return State(*(part[:, 0].copy() for part in self._made.initial))
        return State(*(np.repeat(part, batch, axis=1) for part in self._made.initial))

    def advanced(self, x: np.ndarray, state: State | None) -> tuple[np.ndarray, State] | None:
        """(y, state after it) of a step from Python; None where a number is `MODERATE` or larger.

        Parameters
        ----------
        x : ndarray, shape (B, I)
            Input, of the right shape and dtype; the state alike.
        state : State, optional
            State before the step. Default: the initial one.

        Returns
        -------
        y, state : ndarray, State
            In new arrays.

        Raises
        ------
        Nothing.

        Examples
        --------
        >>> import numpy as np, numlstm
        >>> stepper = numlstm.LSTM(1, 4, 1, rng=0).njit()
        >>> y, state = stepper.advanced(np.ones((3, 1), "float32"), None)
        >>> y.shape
        (3, 1)
        """
        h, c = state or self.initial_state(len(x))
        y = np.empty((len(x), self.output_size), x.dtype)
        h_new, c_new = np.empty(h.shape, x.dtype), np.empty(c.shape, x.dtype)
        good = step_once(self._net.memory, uniform(x), uniform(h), uniform(c), y, h_new, c_new)
        return (y, State(h_new, c_new)) if good else None

    @property
    def memory(self) -> np.ndarray:
        """The network as `numlstm.stepping.kernels.step` reads it."""
        return self._net.memory

    @property
    def cfunc(self) -> CFunction:
        """The step as a function for callers in C; see `LSTM.cfunc`."""
        address, pointer = int(self._net.memory[STEP]), ctypes.c_void_p
        kind = ctypes.CFUNCTYPE(ctypes.c_int64, *(pointer,) * 5, ctypes.c_int64)
        return CFunction(address, self.address, kind(address), self)


def stepper_of(
    spec: NetworkSpec,
    theta: np.ndarray,
    scaling: Scaling | None,
    weights: Weights | None = None,
    *,
    derivatives: bool = False,
) -> Stepper | None:
    """The stepper of a network; None where a step would need too much of the stack.

    `weights` are theta as the "cpu" backend packs it, where they are at hand.
    """
    network = Network(spec, backends.get("cpu"))
    weights = weights or network.pack(theta)
    net = write_net(spec, weights, scaling, derivatives)
    initial = network.initial_state(weights, 1)
    static = weights.static[0] if weights.static else None
    return None if net is None else Stepper(net, Made(spec, initial, derivatives, static))


def bound_nets(
    stepper: Stepper, static: np.ndarray, *, per_group: int = 0, summed: bool = False
) -> Bound:
    """The stepper's net for sequences of attributes (B, S), or of (1, S) for all: see `bind`."""
    of_static = stepper._made.spec.layers[0].of_static
    terms = backends.get("cpu").head_forward(of_static, stepper._made.static, static)
    given = Attributes(static, terms)
    return bind(stepper._net, stepper._made.spec, given, per_group=per_group, summed=summed)


def static_gradient(stepper: Stepper, static: np.ndarray, dterms: np.ndarray) -> np.ndarray:
    """The gradient of attributes (B, S) from that of what they add, as the nets sum it."""
    spec, weights = stepper._made.spec, stepper._made.static
    given = spec.layers[0].of_static, weights, static, of_gates(spec, dterms)
    _, dstatic = backends.get("cpu").head_backward(*given)
    return np.asarray(dstatic)


def with_static(stepper: Stepper, static: np.ndarray) -> Stepper:
    """The stepper for sequences of attributes (B, S), or of (1, S) for all."""
    memory = bound_nets(stepper, static).nets[0]
    sizes = Sizes(*memory[SIZES:][: len(Sizes._fields)].tolist())
    return Stepper(NetMemory(memory, sizes), stepper._made, stepper)


# --- for Numba ------------------------------------------------------------------------------------


ABI = 2  # of the struct below: code that others keep on disk is found by the type's name


class StepperType(types.Type):
    """A `Stepper` in compiled code."""

    def __init__(self, dtype: str, derivatives: bool):
        self.scalar = types.float32 if dtype == "float32" else types.float64
        self.derivatives = derivatives
        what = f"{dtype}{', derivatives' * derivatives}"
        super().__init__(name=f"numlstm.Stepper{ABI}({what})")


NET = types.CPointer(types.int64)


@register_model(StepperType)
class _StepperModel(models.StructModel):
    def __init__(self, dmm, fe_type):
        members = [
            ("owner", types.MemInfoPointer(types.int64)),  # counted; null for a constant
            ("value", types.pyobject),  # what `owner` keeps: the `Stepper`
            ("net", NET),
        ]
        super().__init__(dmm, fe_type, members)


@unbox(StepperType)
def _unbox_stepper(kind, value, c):
    address = c.pyapi.object_getattr_string(value, "address")
    number = c.pyapi.long_as_longlong(address)
    c.pyapi.decref(address)
    native = _native(c.context, c.builder, kind, number, value)
    native.owner = c.pyapi.nrt_meminfo_new_from_pyobject(
        c.builder.bitcast(native.net, cgutils.voidptr_t), value
    )
    return NativeValue(native._getvalue())


@box(StepperType)
def _box_stepper(kind, native, c):
    stepper = cgutils.create_struct_proxy(kind)(c.context, c.builder, native).value
    c.pyapi.incref(stepper)
    c.context.nrt.decref(c.builder, kind, native)
    return stepper


_constants: set[Stepper] = set()  # their addresses stand in machine code, which lives to the end


@lower_constant(StepperType)
def _constant_stepper(context, builder, kind, stepper):
    _constants.add(stepper)
    address, value = (
        context.add_dynamic_addr(builder, place, info="numlstm.Stepper")  # so it is not cached
        for place in (stepper.address, id(stepper))
    )
    net = builder.ptrtoint(address, ir.IntType(64))
    return _native(context, builder, kind, net, value)._getvalue()


def _native(context, builder, kind, address, value):
    """The struct of a stepper, without an owner."""
    native = cgutils.create_struct_proxy(kind)(context, builder)
    native.owner = cgutils.get_null_value(native.owner.type)
    native.value = builder.bitcast(value, native.value.type)
    native.net = builder.inttoptr(address, native.net.type)
    return native


@intrinsic
def _memory(typingctx, stepper):
    """Pointer to the network."""

    def codegen(context, builder, sig, args):
        return cgutils.create_struct_proxy(sig.args[0])(context, builder, args[0]).net

    return NET(stepper), codegen


INPUTS, WIDTH, LAYERS, UNITS, OUTPUTS, PARAMETERS = (
    SIZES + Sizes._fields.index(name)
    for name in ("inputs", "width", "layers", "units", "outputs", "parameters")
)


def _require_arrays(stepper: StepperType, method: str, read: dict, written: dict) -> None:
    """Refuse, when the caller is compiled, what a step cannot take."""
    if method != "step" and not stepper.derivatives:
        raise TypingError(f"{method}: make the stepper with model.njit(derivatives=True)")
    for name, array in (read | written).items():
        good = isinstance(array, types.Array) and array.layout == "C" and array.aligned
        if not good or array.dtype != stepper.scalar:
            raise TypingError(
                f"{method}: {name} must be a C-contiguous array of {stepper.scalar}, received "
                f"{array}; make it one before the loop: np.ascontiguousarray({name}, stepper.dtype)"
            )
        if name in written and not array.mutable:
            raise TypingError(f"{method}: {name} is written, but the array is read-only")
    if read["x"].ndim not in (1, 2):
        raise TypingError(f"{method}: x must be (I,) or (B, I), received {read['x'].ndim} axes")


# below: no branch around the calls, so that Numba sees that it need not count references there


@overload_method(StepperType, "step")
def _step(stepper, x, h, c, y):
    _require_arrays(stepper, "step", {"x": x}, {"h": h, "c": c, "y": y})
    rows = _rows_of(x)

    def step(stepper, x, h, c, y):
        pointers = at(x, 0), at(h, 0), at(c, 0), at(y, 0)
        return _call(_memory(stepper), STEP, rows(x), _sizes(x, h, c, y), pointers)

    return step


@overload_method(StepperType, "step_jvp")
def _step_jvp(stepper, x, h, c, y, dx, dh, dc, dy):
    written = {"h": h, "c": c, "y": y, "dh": dh, "dc": dc, "dy": dy}
    _require_arrays(stepper, "step_jvp", {"x": x, "dx": dx}, written)
    rows = _rows_of(x)

    def step_jvp(stepper, x, h, c, y, dx, dh, dc, dy):
        net, batch = _memory(stepper), rows(x)
        if _wrong(net, batch, _sizes(dx, dh, dc, dy)):
            return WRONG_SIZE
        values = at(x, 0), at(h, 0), at(c, 0), at(y, 0)
        tangents = at(dx, 0), at(dh, 0), at(dc, 0), at(dy, 0)
        return _call(net, JVP, batch, _sizes(x, h, c, y), values + tangents)

    return step_jvp


@overload_method(StepperType, "step_vjp")
def _step_vjp(stepper, x, h, c, dy, dh, dc, dx, dtheta=None):
    learns = not isinstance(dtheta, types.NoneType | types.Omitted | type(None))
    written = {"dh": dh, "dc": dc, "dx": dx} | ({"dtheta": dtheta} if learns else {})
    _require_arrays(stepper, "step_vjp", {"x": x, "h": h, "c": c, "dy": dy}, written)
    rows = _rows_of(x)

    def step_vjp(stepper, x, h, c, dy, dh, dc, dx, dtheta=None):
        net, batch = _memory(stepper), rows(x)
        gradient = dtheta if learns else dx
        wrong = learns and gradient.size != get(net, PARAMETERS)
        if wrong or _wrong(net, batch, _sizes(x, h, c, dy)):
            return WRONG_SIZE
        given = at(x, 0), at(h, 0), at(c, 0), at(dy, 0)
        gradients = at(dh, 0), at(dc, 0), at(dx, 0), or_null(at(gradient, 0), learns)
        return _call(net, VJP, batch, _sizes(dx, dh, dc, dy), given + gradients)

    return step_vjp


def _rows_of(x: types.Array):
    """The function that counts the sequences of an input, chosen by its type."""
    return _one if x.ndim == 1 else _first_axis


@register_jitable
def _one(x):
    return 1


@register_jitable
def _first_axis(x):
    return x.shape[0] if x.size else min(x.shape[0], 1)  # the sizes of (2**60, 0) would overflow


@register_jitable
def _sizes(x, h, c, y):
    return x.size, h.size, c.size, y.size


@register_jitable
def _call(net, which, rows, sizes, pointers):
    """One of the net's functions, if the sizes are right."""
    if _wrong(net, rows, sizes):
        return WRONG_SIZE
    return call_at(get(net, which), (net, *pointers, rows))


@register_jitable
def _wrong(net, rows, sizes):
    """Whether the size of x, h, c or y is not the network's."""
    states = rows * get(net, LAYERS)
    return (
        sizes[0] != rows * get(net, INPUTS)
        or sizes[1] != states * get(net, OUTPUTS)
        or sizes[2] != states * get(net, UNITS)
        or sizes[3] != rows * get(net, WIDTH)
    )
