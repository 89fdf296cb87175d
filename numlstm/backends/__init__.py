"""The dispatcher: one contract, a registry, one clear error.

A backend is a module (or package) with the names in `CONTRACT`. Every function works on a whole
sequence, takes and returns arrays in the backend's own memory (`arrays.asarray` brings host arrays
there, `arrays.to_numpy` brings them back), and never changes its arguments. Shapes, dtypes and
lengths are the caller's business: kernels do not check them, and leave the memory of arrays that
are too small.

=====================================================  ==========================================
``require()``                                          raise `BackendError` where it cannot run
``arrays``                                             what is done with arrays between layers,
                                                       as in `numlstm.backends.numpy_arrays`
``precisions``                                         those of a `LayerSpec` that it has
``pack_layer(spec, theta)``                            weights in the layout that the kernels read
``layer_forward(spec, weights, X, state, lengths=None, (Y, (h, c), tape or None)
*, tape=False, reset=None, noise=None,
row_terms=None)``
``layer_backward(spec, weights, tape, dY, dstate, *,   (dtheta or None, dX or None, (dh, dc),
need_dX=True, need_dtheta=True)``                      drow_terms or None); dY and dstate may be
                                                       None, which means zero
``layer_trace(spec, tape, quantity, steps, units)``    (B, S, U): what a taped pass had of a gate
                                                       "i", "f", "g", "o" or of the cell "c"
``pack_head(spec, theta)``                             as pack_layer, for the linear head
``head_forward(spec, weights, H)``                     Y, over the last axis of H
``head_backward(spec, weights, H, dY)``                (dtheta, dH)
``tangents()``                                         what has these functions, from `arrays`
                                                       to `head_backward`, over tangents, but for
                                                       `layer_trace`
``members()``                                          kernels for many layers at once, or None
``transitions()``                                      kernels for the Jacobians of steps, or None
``update()``                                           an `Update` of the backend's own, as in
                                                       `numlstm.training.update`, or None
``windows()``                                          kernels that cut windows of series, or None
=====================================================  ==========================================

X (B, T, I), Y (B, T, P), h (B, P), c (B, H), theta flat, lengths (B,) integers or None. Rows are
independent: a row's result does not depend on the batch that it came in. Y is zero in the padding.

``reset`` (B, T) is bool or None: where it is True, the row's state is replaced before the step by
the layer's initial state, the learned one or zeros; the gradient of a learned one is in dtheta.
``row_terms`` (B, G H) or None, of G gates with weights of their own in the order i, f, g, o, is
added to the products of every step, as if further inputs, the same at all steps, had given it:
within what layer normalisation normalises. Its gradient is the sum over the row's steps; None where
there was none. A layer with a ``static_size`` has ``weight_is`` (G H, S) at the end of its theta,
which the kernels carry but do not read, and whose gradient they leave zero: the product with
attributes of the sequences is the network's business, once per sequence, by ``head_forward``.

``layer_trace`` reads the values that acted: gates behind their activations, and the cell that is
carried, clipped and kept by zoneout. ``steps`` (B, S) and ``units`` (U,) are int64 in the host's
memory, or None for all; a step that a row has not is zero.

``noise`` is a `numlstm.architecture.spec.Noise` or None, in the dtype of the layer. A state that is
passed in is taken as it is: whether it is the learned one is the network's business, as are
directions, residual connections, and dropout between layers and on weights.

The functions of ``tangents()`` take and give complex arrays for real ones: the real part is the
value, the imaginary part its derivative along some direction. What is linear in an array, as all
that the network does between the layers, then does the right thing to both without knowing.

What ``members()`` gives has ``able(spec)``, whether it knows such layers, ``at_once(specs, batch,
steps)``, how many members it wants in a call, which changes no numbers, ``forward(spec, thetas,
X, lengths=None, state=None)`` -> (Y, tape), ``final_state(spec, tape)`` -> (h, c), to be asked for
before ``backward(spec, thetas, tape, dY, need_dX)`` -> (dthetas, dX or None): with thetas (M, n), X
(M, B, T, I) or one for all, Y (M, B, T, H), states (M, B, H), by default zero.

What ``transitions()`` gives has ``fill(spec, weights, tape, index, J, by_X)``, which puts the
derivatives of a layer's states after every step by those before it into J (B, T, 2, layers, H, S),
and by its inputs into by_X (B, T, 2, H, I).

What ``windows()`` gives has ``standardised(addresses, source, mean, scale, result)``, which fills
result (B, T, I) with (x - mean) / scale of windows that lie in the host's memory, computed in
float64.
"""

import functools
import importlib
from types import ModuleType

from numlstm.utils import notices

CONTRACT = (
    "name",
    "require",
    "arrays",
    "precisions",
    "pack_layer",
    "layer_forward",
    "layer_backward",
    "layer_trace",
    "pack_head",
    "head_forward",
    "head_backward",
    "tangents",
    "members",
    "transitions",
    "update",
    "windows",
)

REGISTRY = {
    "reference": "numlstm.backends.reference",
    "cpu": "numlstm.backends.cpu",
    "cuda": "numlstm.backends.cuda",
}

PREFERENCE = ("cuda", "cpu", "reference")  # what "auto" tries, best first


class BackendError(RuntimeError):
    """A backend was asked for that cannot run here; the message says what is missing."""


class DeviceError(BackendError):
    """A device that a backend was installed for is there, but cannot be used."""


class DisabledError(BackendError):
    """A backend that could run here was switched off by the environment."""


class NumbaMissingError(BackendError):
    """Numba, a requirement of the package wherever it exists, cannot be imported."""


def require_numba() -> None:
    """Raise `NumbaMissingError` where there is none: called before an import that compiles."""
    fault = _numba_fault()
    if fault is not None:
        raise NumbaMissingError(fault)


@functools.cache  # for the reason of `_missing`
def _numba_fault() -> str | None:
    """Why Numba cannot be imported, and what is to be done, or None where it can."""
    try:
        importlib.import_module("numba")
    except Exception as error:  # of any kind, where a library lacks or versions do not fit
        return (
            f'Numba cannot be imported ({error}): there are no backends "cpu" and "cuda", no '
            "steps for compiled code, no exported C, no rollout, no scheduled sampling, only "
            'backend="reference", which is plain NumPy and slow. Install a Numba that fits, '
            "python -m pip install --upgrade numba (Pyodide has none)"
        )
    return None


def get(name: str) -> ModuleType:
    """The backend called `name`, ready to run; "auto" is the best one that can."""
    if name == "auto":
        return _first_that_runs()
    if name not in list(REGISTRY):  # which asks for no hash
        raise ValueError(f"backend must be one of {['auto', *REGISTRY]}, received {name!r}")
    backend = _imported(name, REGISTRY[name])
    backend.require()
    return backend


_missing: dict[str, tuple[type[BackendError], str]] = {}  # by module


def _imported(name: str, module: str) -> ModuleType:
    # a second try would only take time, and a lock that the child of a fork might never get
    if module not in _missing:
        try:
            return importlib.import_module(module)
        except BackendError as error:
            _missing[module] = type(error), str(error)
        except Exception as error:
            if not isinstance(error, ImportError) and _numba_fault() is None:
                raise
            _missing[module] = _why_not(name, error)
    kind, reason = _missing[module]
    raise kind(reason)


def _why_not(name: str, error: Exception) -> tuple[type[BackendError], str]:
    """What is said of a backend that could not be imported."""
    fault = _numba_fault()
    if fault is not None:
        return NumbaMissingError, fault
    return BackendError, (
        f"backend {name!r} cannot run: {error}. Reinstall numlstm with its requirements, "
        'or pass backend="reference".'
    )


_warned: set[str] = set()  # what is said once, not at every model


def _first_that_runs() -> ModuleType:
    reasons = []
    for name in PREFERENCE:
        try:
            backend = get(name)
        except BackendError as error:
            _warn_of(error)
            reasons.append(str(error))
            continue
        if getattr(backend, "automatic", True):
            return backend
    raise BackendError("no backend can run here: " + "; ".join(reasons))


def _warn_of(error: BackendError) -> None:
    """Say that a backend is passed over which the user has reason to expect."""
    message, expected = str(error), DeviceError | DisabledError | NumbaMissingError
    if isinstance(error, expected) and message not in _warned:
        notices.warn(f"{message}; the next best backend takes its place")
        _warned.add(message)
