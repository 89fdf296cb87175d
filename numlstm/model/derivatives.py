"""Derivatives of a model along a direction, and Jacobians."""

from typing import Any

import numpy as np

from numlstm.architecture.spec import State
from numlstm.model.base import Model
from numlstm.model.inputs import InputReader
from numlstm.network import derivatives
from numlstm.utils import checks
from numlstm.utils.types import Array


class Derivatives(Model):
    """The derivatives of `numlstm.LSTM`; `vjp` stands beside `forward`."""

    def jvp(
        self,
        X: Any,
        dX: Any = None,
        dstate: Any = None,
        dtheta: Any = None,
        dstatic: Any = None,
        *,
        state: Any = None,
        lengths: Any = None,
        reset: Any = None,
        static: Any = None,
    ) -> tuple[tuple[Array, State], tuple[Array, State]]:
        """Forward pass, and its exact derivative along a direction (forward mode).

        Works in the network's own (standardised) units, without noise.

        Parameters
        ----------
        X : array_like, shape (B, T, I)
            The sequences.
        dX : array_like, shape (B, T, I), optional
            Change of X. Default, here and for the next three: none.
        dstate : State, optional
            Change of the initial state, also where that is the learned one or zero.
        dtheta : array_like, shape (n,), optional
            Change of `theta`.
        dstatic : array_like, shape (B, S), optional
            Change of `static`.
        state, lengths, reset, static : optional
            As in `forward`.

        Returns
        -------
        values : tuple (Y, state)
            As from `forward`.
        tangents : tuple (dY, dstate)
            Derivatives of both along the direction, of the same shapes.

        Raises
        ------
        ValueError, TypeError
            As `forward`; for a direction that has not the shape of what it changes; and for
            derivatives beyond the range of the dtype.

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
        run, reader = self._run(X, state, lengths, reset, static)
        directions = [("dX", dX, run.X.shape), ("dtheta", dtheta, self._theta.shape)]
        directions.append(("dstatic", dstatic, (len(run.X), self.spec.static_size or 0)))
        for name, value, shape in directions:
            if value is not None:
                checks.shape(name, np.asarray(value), shape)
        dX, dtheta, dstatic = (
            checks.optional(checks.array, name, value, dtype=self.spec.dtype, finite=False)
            for name, value, _ in directions
        )
        dstate = reader.state("dstate", dstate, len(run.X))
        along = derivatives.Direction(dtheta, dX, dstate, dstatic)
        values, tangents = derivatives.jvp(self.network.on_host, run, along)
        self._derived().range.require_results("the derivative", tangents, *along)
        return values, tangents

    def jacobian(
        self,
        X: Any,
        of: str = "y",
        wrt: str = "X",
        *,
        state: Any = None,
        lengths: Any = None,
        reset: Any = None,
        static: Any = None,
    ) -> Array:
        """Exact Jacobians of the outputs or of the final state, row by row.

        Works in the network's own (standardised) units, without noise.

        Parameters
        ----------
        X : array_like, shape (B, T, I)
            The sequences.
        of : {"y", "state"}, optional
            What is differentiated: Y (T, O), or the final state as one vector (S,).
        wrt : {"X", "state", "theta", "static"}, optional
            By what: X (T, I), the initial state as one vector (S,), theta (n,), or the attributes
            of a model that has a `static_size`, (static_size,).
        state, lengths, reset, static : optional
            As in `forward`.

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
        known = ("X", "state", "theta", *(("static",) if self.spec.static_size else ()))
        checks.choice("wrt", wrt, known)
        run, _ = self._run(X, state, lengths, reset, static)
        J = derivatives.jacobian(self.network.on_host, run, of, wrt)
        self._derived().range.require_results("the Jacobian", J)
        return J

    def transitions(
        self,
        X: Any,
        state: Any = None,
        *,
        lengths: Any = None,
        reset: Any = None,
        static: Any = None,
    ) -> Array:
        """Exact Jacobians of every step's state with respect to the state before it.

        They linearise the network along a trajectory: for its stability, Lyapunov exponents, or
        an extended Kalman filter. Their product over the steps is the Jacobian of the final state
        by the initial one. Works in the network's own (standardised) units, without noise.

        Parameters
        ----------
        X : array_like, shape (B, T, I)
            The sequences.
        state, lengths, reset, static : optional
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
        run, _ = self._run(X, state, lengths, reset, static)
        J = derivatives.transitions(self.network.on_host, run)
        self._derived().range.require_results("the Jacobian", J)
        return J

    def _run(
        self, X: Any, state: Any, lengths: Any, reset: Any, static: Any
    ) -> tuple[derivatives.Run, InputReader]:
        """The point at which derivatives are taken, in NumPy's memory."""
        reader = InputReader(self.network.on_host, X)
        inputs = reader.inputs(X, state, lengths, reset, static)
        limits, network = self._derived().range, self.network.on_host
        limits.require_products(inputs)
        if (seen := limits.watch()) is not None:
            Y, final, _ = network.forward(
                *(network.pack(self._theta), inputs.X, inputs.state, inputs.lengths),
                reset=inputs.reset,
                seen=seen,
                static=inputs.static,
            )
            limits.require_outputs((Y, final), seen)
        return derivatives.Run(self._theta, *inputs[:4], inputs.static), reader
