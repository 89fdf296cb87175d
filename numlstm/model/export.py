"""One time step of a model outside of Python: for compiled code, C and Fortran."""

import os
from typing import TYPE_CHECKING, Any

import numpy as np

from numlstm import backends
from numlstm.data import labels
from numlstm.data.attributes import read_static, require_static, static_for_network
from numlstm.data.fill_values import warn_of_filled_static
from numlstm.data.scaling import Scaling
from numlstm.data.sequences import Form
from numlstm.model.base import Derived, KeptStepper, Model
from numlstm.utils import checks
from numlstm.utils.types import Array

if TYPE_CHECKING:  # else loaded on first use: these import Numba
    from numlstm.export.c import Source
    from numlstm.stepping.stepper import CFunction, Stepper


class Export(Model):
    """The compiled and the exported step of `numlstm.LSTM`."""

    def njit(
        self, *, standardize: bool = True, derivatives: bool = False, static: Any = None
    ) -> "Stepper":
        """One time step as a value for compiled code: call it in any ``numba.njit`` of yours.

        The parameters are copied: a later change of `theta` needs a new stepper, and the old one
        goes on with the old ones. It lives as long as something holds it, compiled code included.
        Compiled code that took one takes any other of the same dtype without being compiled again.

        Parameters
        ----------
        standardize : bool, optional
            Whether x and y are in the units of the data, where the model was trained with
            standardisation, as in `predict`. False: in the network's units, as in `step`.
        derivatives : bool, optional
            Whether the stepper also has ``step_jvp`` and ``step_vjp``, the step's derivatives.
            They are compiled once per machine, which takes some seconds.
        static : array_like, shape (S,), optional
            Attributes of the sequence, of a model that has some, which needs them; in the units
            that `standardize` says. What they add to the gates is computed here, once: a step costs
            what it costs without. The step is that of such sequences alone; another one needs
            a stepper of its own, which shares the parameters with this one. ``step_vjp`` adds the
            gradient of ``weight_is_l0`` to that of theta; the attributes are constants.

        Returns
        -------
        stepper : Stepper
            ``stepper.step(x, h, c, y)`` takes the state one step on in place and writes y; it
            agrees with `step` bit for bit. See `help(type(stepper))`.

        Raises
        ------
        ValueError
            For a bidirectional network, one with more units than fit a thread's stack, and with
            ``standardize=True`` for a model that fills missing inputs; for attributes that are
            missing, of a wrong shape, or of a model without any.
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
        own = self._static_of_one(static, scaling)
        stepper = self._required_stepper(scaling, checks.flag("derivatives", derivatives))
        if own is None:
            return stepper
        from numlstm.stepping.stepper import with_static

        return with_static(stepper, own)

    def cfunc(self, *, standardize: bool = True, static: Any = None) -> "CFunction":
        """One time step as a C function in this process: its address, and the network's.

        Parameters
        ----------
        standardize : bool, optional
            As in `njit`.
        static : array_like, shape (S,), optional
            As in `njit`: the function is the step of sequences with these attributes.

        Returns
        -------
        function : CFunction
            ``function.address`` is that of ``int64_t step(const int64_t *net, const T *x, T *h,
            T *c, T *y, int64_t batch)``, T float or double, and ``function.net`` its first
            argument; ``function.ctypes`` calls it from Python. x (batch, I) is read, h (layers,
            batch, P) and c (layers, batch, H) go one step on in place, y (batch, O) is written.
            It returns 0; 1 for a null pointer; 2 for a negative batch. Addresses have no sizes,
            so that it cannot refuse arrays that are too small: it reads and writes beyond them.
            Both addresses are good as long as `function` lives. It is reentrant, allocates nothing
            and takes no lock.

        Raises
        ------
        ValueError, BackendError
            As `njit`.

        Notes
        -----
        `scipy.LowLevelCallable` has no signature with a state, so no routine of SciPy takes this
        function as it is. A `numba.cfunc` of yours fits them all: it calls a stepper of `njit` that
        it finds as a global name or in its closure, as in the second example.

        Examples
        --------
        >>> import numpy as np, numlstm
        >>> function = numlstm.LSTM(1, 4, 1, rng=0).cfunc()
        >>> x, y, h, c = (np.ones((1, n), "float32") for n in (1, 1, 4, 4))
        >>> function.ctypes(function.net, *(a.ctypes.data for a in (x, h, c, y)), 1)
        0

        The first answer of a network, as a function of its input, in SciPy's `quad`:

        >>> import numba, scipy
        >>> stepper = numlstm.LSTM(1, 4, 1, dtype="float64", rng=0).njit()
        >>> @numba.cfunc("float64(float64)")
        ... def response(u):
        ...     x, h, c, y = np.full(1, u), np.zeros((1, 4)), np.zeros((1, 4)), np.empty(1)
        ...     stepper.step(x, h, c, y)
        ...     return y[0]
        >>> integral, error = scipy.integrate.quad(scipy.LowLevelCallable(response.ctypes), 0, 1)
        >>> bool(error < 1e-8)
        True
        """
        return self.njit(standardize=standardize, static=static).cfunc

    def export_c(self, path: str | bytes | os.PathLike[str], *, standardize: bool = True) -> None:
        """Write the network as a C99 file with its numbers in it, and its header beside it.

        `docs/embedding.md` shows how to call it. The file NAME.c holds NAME_reset and NAME_step,
        one time step on an explicit state, for one sequence, with dropout off. It needs no library
        but libm, allocates nothing, may run in any number of threads, and answers bad arguments
        with a status code. Of a model with attributes of whole sequences NAME_reset takes those of
        a sequence, in the units of the data, and the state keeps what they add to the gates: one
        file serves many sequences, a state for each.

        Parameters
        ----------
        path : str, bytes or path-like
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
            Where a file cannot be written; older ones are then as they were.
        BackendError
            Where Numba is not installed.

        See Also
        --------
        export_fortran : The same with a Fortran module.

        Examples
        --------
        >>> import os, tempfile, numlstm
        >>> model = numlstm.LSTM(3, 8, 2, rng=0)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     model.export_c(os.path.join(folder, "river.c"))
        ...     sorted(os.listdir(folder))
        ['river.c', 'river.h']
        """
        source = self._source(standardize)
        from numlstm.export import c

        c.export_c(source, path)

    def export_fortran(
        self, path: str | bytes | os.PathLike[str], *, standardize: bool = True
    ) -> None:
        """Write the network as a Fortran module over the C file of `export_c`, and that file.

        The module NAME has the type NAME_state and the functions NAME_reset and NAME_step, as in
        C; compile and link NAME.c with it.

        Parameters
        ----------
        path : str, bytes or path-like
            The Fortran file, NAME.f90; NAME.c and NAME.h go beside it. NAME is as for `export_c`.
        standardize : bool, optional
            As for `export_c`.

        Raises
        ------
        ValueError, TypeError, OSError, BackendError
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
        source = self._source(standardize)
        from numlstm.export import fortran

        fortran.export_fortran(source, path)

    def _required_stepper(self, scaling: Scaling | None, derivatives: bool) -> "Stepper":
        """The stepper, where there is one."""
        stepper = self._stepper(self._derived(), scaling, derivatives)
        if stepper is None:
            raise ValueError(
                f"a step of {self.spec.hidden_size} units needs more scratch than a thread's stack "
                "has room for; use step or forward"
            )
        return stepper

    def _stepper(
        self,
        derived: Derived,
        scaling: Scaling | None,
        derivatives: bool = False,
        static: Array | None = None,
    ) -> "Stepper | None":
        """The stepper of parameters, made again only where scaling or attributes have changed."""
        kind = scaling is None, derivatives
        units = () if scaling is None else _bytes_of(scaling)
        kept = derived.steppers.get(kind)
        if kept is None or kept.units != units:
            backends.require_numba()
            from numlstm.stepping.stepper import stepper_of

            on_cpu = self.network.backend.name == "cpu"
            stepper = stepper_of(
                *(self.spec, derived.theta, scaling, derived.weights if on_cpu else None),
                derivatives=derivatives,
            )
            derived.steppers[kind] = kept = KeptStepper(units, stepper)
        if static is None or kept.stepper is None:
            return kept.stepper
        return _with_static(derived, kept.stepper, static)

    def _static_of_one(self, static: Any, scaling: Scaling | None) -> Array | None:
        """Attributes (S,) of the one sequence of a step, as (1, S) in the network's units."""
        size = self.spec.static_size
        if static is None and size:
            raise ValueError(
                f"static is missing: the model has {size} attribute(s) of every sequence, and this "
                f"is the step of one of them; pass its own as static=, of shape ({size},)"
            )
        one = labels.Labelled("X", np.zeros((1, self.spec.input_size)))
        values = labels.attributes(one, static, self.names.static).values
        read = read_static(values, Form("series", (1,)))
        require_static(read, size)
        warn_of_filled_static("static", read, self.names.static)
        return static_for_network(read, scaling, self.spec.dtype)

    def _source(self, standardize: bool) -> "Source":
        """The content of an exported file."""
        backends.require_numba()  # the equations of a step are compilable, and known to Numba
        from numlstm.export.c import Source

        self._require_step()
        checks.require_finite("theta", self._theta)
        scaling = self._step_scaling(standardize)
        summary = repr(self).removeprefix("<LSTM: ").rpartition(", ")[0]
        if self.window is not None:
            summary += (
                f". In Python, predict reads windows of {self.window} steps, each from a fresh "
                "state: to do so here, reset the state, give the steps of a window, and take the "
                "last output."
            )
        return Source(self.spec, self._theta, scaling, summary)

    def _step_scaling(self, standardize: bool) -> Scaling | None:
        """How an embedded step converts x and y, if it is to take the units of the data."""
        standardize = checks.flag("standardize", standardize)
        if standardize and self.filling is not None:
            raise ValueError(
                "this model fills missing inputs, which one step cannot do alone; pass "
                "standardize=False and give it filled, standardised inputs with their mask channels"
            )
        return self.scaling if standardize else None


def _with_static(derived: Derived, stepper: "Stepper", static: Array) -> "Stepper":
    """The step of sequences with attributes (B, S), or (1, S) for all: the last one is kept."""
    from numlstm.stepping.stepper import with_static

    content, last = static.tobytes(), derived.last_static
    if last is None or last[0] != content:
        derived.last_static = last = content, with_static(stepper, static)
    return last[1]


def _bytes_of(scaling: Scaling) -> tuple[bytes | None, ...]:
    """The content of a scaling, to see whether it has changed."""
    return tuple(None if part is None else part.tobytes() for part in scaling)
