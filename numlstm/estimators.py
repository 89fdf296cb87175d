"""Estimators for scikit-learn: numlstm.fit behind fit, predict and score.

Samples are sequences: an array (samples, steps, features), a list of arrays (steps_i, features), or
an array (samples, steps) of series with one feature. Note that `numlstm.fit` reads a
two-dimensional array as one series; here, as everywhere in scikit-learn, every row is a sample.
"""

from collections.abc import Callable, Mapping
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.metrics import accuracy_score, r2_score
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import (
    check_array,
    check_consistent_length,
    check_is_fitted,
    check_random_state,
    column_or_1d,
    validate_data,
)

from numlstm.architecture.cell import Cell
from numlstm.architecture.keywords import SYNONYMS
from numlstm.architecture.parameters import Init
from numlstm.data import labels, sequences
from numlstm.data.tokens import in_rows, require_no_tokens
from numlstm.optim.bounds import LimitsConfig
from numlstm.optim.optimizers import OPTIMIZERS
from numlstm.training.fit import fit
from numlstm.training.keywords import INSTEAD, OF_CLASSES
from numlstm.utils import checks, notices, nouns
from numlstm.utils.nouns import suggesting

# parameters that stand for several
_NOUNS: dict[str, type] = {"cell": Cell, "init": Init, "limits": LimitsConfig}

# so many whole numbers in a table may be grades, as in scikit-learn's own checks; more are tokens
_FEW_GRADES = 8


_Given = tuple[Any, Any, Any, labels.Attributes]  # X, y, sample_weight and attributes


class _SequenceEstimator(BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """The base of both estimators; their parameters are those of `numlstm.fit`."""

    _losses: tuple[str, ...]  # that `loss` may be; None is the first
    _plain_targets: Callable[[labels.Labelled, Any], Any]  # y beside X, without labels
    _of_rows = True  # X of `fit` was a table, each of its rows a sequence of one feature

    @suggesting(_NOUNS, SYNONYMS, INSTEAD)
    def __init__(
        self,
        hidden_size: int = 32,
        *,
        num_layers: int = 1,
        bidirectional: bool = False,
        residual: bool = False,
        learned_state: bool = False,
        proj_size: int | None = None,
        direct_input: bool = False,
        cell: Cell | Mapping[str, Any] | None = None,
        init: Init | Mapping[str, Any] | None = None,
        output: str = "last",
        loss: str | None = None,
        weight: str | None = None,
        method: str = "adam",
        learning_rate: float | None = None,
        schedule: str | Callable[[int], float] | None = None,
        weight_decay: float = 0.0,
        dropout: float | Mapping[str, float] = 0.0,
        clip: float | None = 1.0,
        batch_size: int = 32,
        epochs: int = 100,
        bptt_steps: int | None = None,
        window: int | None = None,
        stride: int = 1,
        predict_last: int = 1,
        shuffle: str = "samples",
        validation: Any = None,
        patience: int | None = None,
        tol: float | None = None,
        metrics: Any = None,
        standardize: bool = True,
        nan_policy: str = "raise",
        missing: str = "raise",
        dtype: Any = "float32",
        backend: str = "auto",
        precision: str | None = None,
        options: Mapping[str, Any] | None = None,
        limits: LimitsConfig | Mapping[str, Any] | None = None,
        random_state: Any = None,
    ):
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.bidirectional = bidirectional
        self.residual = residual
        self.learned_state = learned_state
        self.proj_size = proj_size
        self.direct_input = direct_input
        self.cell = cell
        self.init = init
        self.output = output
        self.loss = loss
        self.weight = weight
        self.method = method
        self.learning_rate = learning_rate
        self.schedule = schedule
        self.weight_decay = weight_decay
        self.dropout = dropout
        self.clip = clip
        self.batch_size = batch_size
        self.epochs = epochs
        self.bptt_steps = bptt_steps
        self.window = window
        self.stride = stride
        self.predict_last = predict_last
        self.shuffle = shuffle
        self.validation = validation
        self.patience = patience
        self.tol = tol
        self.metrics = metrics
        self.standardize = standardize
        self.nan_policy = nan_policy
        self.missing = missing
        self.dtype = dtype
        self.backend = backend
        self.precision = precision
        self.options = options
        self.limits = limits
        self.random_state = random_state

    def _checked_loss(self) -> str:
        """The loss that was asked for, or the class's own; `output` is known, too."""
        checks.choice("output", self.output, ("last", "sequence"))
        own: str = self._losses[0]
        return own if self.loss is None else checks.choice("loss", self.loss, self._losses)

    def _train(self, X: Any, y: Any, sample_weight: Any, static: labels.Attributes) -> Self:
        """Fit on checked data; what was learned gets names with an underscore."""
        self._source = check_random_state(self.random_state)  # of later passes, too
        given = {**self._keywords(), "validation": self._judged(static.names)}
        return self._run(X, y, sample_weight, static, given)

    def _train_further(
        self,
        X: Any,
        y: Any,
        sample_weight: Any,
        static: labels.Attributes,
        outputs: int | None = None,
    ) -> Self:
        """One more pass, or the first one, over checked data; `outputs` are those of the first."""
        given = self._keywords() | {"epochs": 1}
        if not hasattr(self, "result_"):
            self._source = check_random_state(self.random_state)
            return self._run(X, y, sample_weight, static, {**given, "output_size": outputs})
        done = self.n_iter_
        del given["init"]
        if static.names is None:  # an array, in the order that is known
            static = static._replace(names=self._names_of_static)
        kept = {"standardize": False if self.model_.scaling is None else None}
        self._run(X, y, sample_weight, static, {**given, **kept, "model": self.result_})
        self.n_iter_ += done
        return self

    def _require_passes(self) -> None:
        """Refuse what a single pass over some of the data cannot do."""
        checks.choice("method", self.method, tuple(OPTIMIZERS))
        for name in ("validation", "patience", "tol", "schedule"):
            if getattr(self, name) is not None:
                raise ValueError(
                    f"partial_fit makes one pass over what it is given, and {name} is for the "
                    f"epochs of fit: leave {name} out"
                )

    def _keywords(self) -> dict[str, Any]:
        """What `numlstm.fit` is told, but for the data."""
        # of this class: the constructor of a subclass may have fewer
        names = set(_SequenceEstimator._get_param_names())
        names -= {"loss", "random_state", "validation"}
        given = {name: getattr(self, name) for name in names} | {"loss": self._checked_loss()}
        return given | {"progress": False}  # a search would show a bar per fit

    def _run(
        self,
        X: Any,
        y: Any,
        sample_weight: Any,
        static: labels.Attributes,
        given: dict[str, Any],
    ) -> Self:
        state = self._source.get_state()
        seed = int(self._source.randint(2**31 - 1))
        if _is_nested(sample_weight):
            sample_weight = [np.asarray(part) for part in sample_weight]
        beside = {"sample_weight": sample_weight, "static": static.values}
        try:
            self.result_ = fit(X, y, rng=seed, **beside, **given)
        except BaseException:  # of any kind: a pass that was not made has drawn nothing
            self._source.set_state(state)
            raise
        self.model_ = self.result_.model
        self.model_.names = self.model_.names._replace(static=static.names)
        features = self._names_of_features()
        if features is not None and len(features) == self.model_.num_features:
            self.model_.names = self.model_.names._replace(features=features)
        self.n_iter_ = self.result_.nit
        return self

    def _judged(self, names: tuple[str, ...] | None) -> Any:
        """`validation`; data of its own are read as those of `fit`, labels by their classes.

        Attributes are found by the `names` of those that are learned from.
        """
        given, said = self.validation, isinstance(self.validation, Mapping)
        if isinstance(given, (tuple, list)) and len(given) in (2, 3):
            given = dict(zip(("X", "y", "sample_weight"), given, strict=False))
        if not isinstance(given, Mapping) or any(given.get(name) is None for name in "Xy"):
            return given
        parts = (given.get(name) for name in ("X", "y", "sample_weight", "static"))
        X, y, sample_weight, static = self._unlabelled(*parts, names=names)
        X = self._learned_from(given["X"], self._read(X, reset=False))
        y = self._validation_targets(X, y)
        read = {**given, "X": X, "y": y, "sample_weight": sample_weight}
        if static.values is not None:
            read["static"] = static.values
        return read if said else tuple(read.values())  # which says nothing of lengths

    def _learned_from(self, given: Any, X: Any) -> Any:
        """What was given, and is read as X, as it is learned from or judged by."""
        return X

    def _validation_targets(self, X: Any, y: Any) -> Any:
        """The targets of a validation."""
        return self._read_targets(X, y, "numeric")

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The parameters by name, those within `cell`, `init` and `limits` as in cell__layer_norm.

        Parameters
        ----------
        deep : bool, optional
            Whether the parameters within others are there, too.

        Returns
        -------
        params : dict
            Names and values.

        Raises
        ------
        Nothing.

        Examples
        --------
        >>> import numlstm
        >>> numlstm.LSTMRegressor(cell={"layer_norm": True}).get_params()["cell__layer_norm"]
        True
        """
        params: dict[str, Any] = super().get_params(deep=deep)
        for name in _NOUNS.keys() & params.keys() if deep else ():  # a subclass may have fewer
            for field, value in nouns.values(_NOUNS[name], params[name]).items():
                params[f"{name}__{field}"] = value
        return params

    def set_params(self, **params: Any) -> Any:
        """Set parameters, also those within `cell`, `init` and `limits`, as in cell__layer_norm.

        Parameters
        ----------
        **params
            Names and values.

        Returns
        -------
        self : estimator
            The same object.

        Raises
        ------
        ValueError
            For a name that there is not.

        Examples
        --------
        >>> import numlstm
        >>> numlstm.LSTMRegressor().set_params(cell__layer_norm=True).cell
        {'layer_norm': True}
        """
        inner: dict[str, dict[str, Any]] = {}
        for key in [key for key in params if key.partition("__")[0] in _NOUNS and "__" in key]:
            name, _, field = key.partition("__")
            if field not in (known := nouns.names(_NOUNS[name])):
                raise ValueError(
                    f"Invalid parameter {key!r} for {type(self).__name__}"
                    f"{nouns.suggestion(field, known)}; {name} has {known}"
                )
            inner.setdefault(name, {})[field] = params.pop(key)
        known = list(super().get_params(deep=False))
        for key in [key for key in params if key.partition("__")[0] not in known]:
            raise ValueError(
                f"Invalid parameter {key!r} for estimator {type(self).__name__}"
                f"{nouns.hint(key, params[key], known, _NOUNS, SYNONYMS)}. "
                f"Valid parameters are: {known}"
            )
        amended = {  # new objects: the caller's own stay as they are
            name: nouns.amended(
                _NOUNS[name], name, params.pop(name, getattr(self, name, None)), changes
            )
            for name, changes in inner.items()
        }
        super().set_params(**params, **amended)
        return self

    def _unlabelled(
        self,
        X: Any,
        y: Any = None,
        sample_weight: Any = None,
        static: Any = None,
        *,
        reset: bool = False,
        names: tuple[str, ...] | None = None,
    ) -> tuple[Any, Any, Any, labels.Attributes]:
        """X and what stands beside it without labels, which must agree.

        A frame of samples stays one, for scikit-learn to read and to remember its names. `names`
        are those of the attributes, in the order in which they are read.
        """
        for name, value in (("X", X), ("y", y), ("sample_weight", sample_weight)):
            checks.require_unmasked(name, value, "0" if name == "sample_weight" else "np.nan")
            if name == "X" or self.output == "last" or not _is_nested(value):
                checks.require_no_collection(name, value)
        given = labels.samples(X, None if reset else self._names_of_features())
        if self.output == "last":
            labels.require_no_steps(given, y)
        beside = (
            self._plain_targets(given, y),
            labels.weights(given, sample_weight),
            labels.attributes(given, static, names, many=True),
        )
        if isinstance(given, labels.Frame):
            return X, *beside
        if reset and given.features is not None:
            self.feature_names_in_ = np.array(given.features, dtype=object)
        elif reset and hasattr(self, "feature_names_in_"):
            del self.feature_names_in_
        return given.values, *beside

    def _names_of_features(self) -> tuple[str, ...] | None:
        """Those of the last fit."""
        names = getattr(self, "feature_names_in_", None)
        return None if names is None else tuple(names)

    @property
    def _names_of_static(self) -> tuple[str, ...] | None:
        """Those of the attributes of the last fit."""
        model = getattr(self, "model_", None)
        return None if model is None else model.names.static

    def _read(self, X: Any, *, reset: bool) -> Any:
        """X as `numlstm.fit` takes it, a batch (B, T, I) or a list of series; it looks for NaN."""
        if isinstance(X, (list, tuple)) and X and isinstance(X[0], (str, bytes)):
            checks.array("X", X, None)  # refuses text, and says what to write
        if sequences.is_list(X) and any(np.ndim(series) == 2 for series in X):
            return self._counted(list(X), np.shape(X[0])[-1], reset)
        if sequences.is_list(X) and len({np.shape(series) for series in X}) > 1:
            raise ValueError(
                "X is a list of series (T_i,) of different lengths: give each the axis of its "
                "features, (T_i, 1), as in [series[:, None] for series in X]"
            )
        if getattr(X, "ndim", None) == 3 or (isinstance(X, (list, tuple)) and np.ndim(X) == 3):
            X = check_array(
                X, allow_nd=True, ensure_all_finite=False, dtype="numeric", input_name="X"
            )
            return self._counted(X, X.shape[2], reset)
        self._require_rows(X, reset)
        X = validate_data(self, X, reset=reset, ensure_all_finite=False, dtype="numeric")
        if reset:
            self._of_rows = True
        return X[..., None]

    def _require_rows(self, X: Any, reset: bool) -> None:
        """Refuse one series where the rows of X would be samples."""
        listed = isinstance(X, (list, tuple))
        shape: tuple[int, ...] = np.shape(X) if listed else getattr(X, "shape", ())
        if len(shape) == 1 and shape[0]:
            one = "X[None]" if self._of_rows and not reset else "[X[:, None]]"
            code = one if isinstance(X, np.ndarray) else one.replace("X", "np.asarray(X)")
            raise ValueError(
                f"Expected 2D array, got 1D array instead: X of shape {shape}. Reshape your data: "
                f"pass {code} if it is one sequence of {shape[0]} steps"
            )
        if reset or self._of_rows or len(shape) != 2 or shape[1] != self.n_features_in_:
            return
        wrapped = "[X] or X[None]" if isinstance(X, np.ndarray) else "[X]"
        raise ValueError(
            f"X of shape {shape} has two dimensions, and the sequences of fit had three, "
            f"(B, T, {shape[1]}): pass {wrapped} if it is one sequence of {shape[0]} steps"
        )

    def _counted(self, X: Any, features: int, reset: bool) -> Any:
        if reset:
            self.n_features_in_, self._of_rows = features, False
        elif features != self.n_features_in_:
            raise ValueError(
                f"X has {features} features, but {type(self).__name__} is expecting "
                f"{self.n_features_in_} features as input"
            )
        return X

    def _read_targets(self, X: Any, y: Any, dtype: Any) -> Any:
        """Targets beside X, one entry per sequence."""
        if y is None:
            raise ValueError(
                f"This {type(self).__name__} estimator requires y to be passed, but the target y "
                "is None."
            )
        check_consistent_length(X, y)
        if self.output == "sequence" and _is_nested(y):
            return [np.asarray(part) for part in y]
        form = {"ensure_2d": False, "allow_nd": True, "dtype": dtype}
        y = check_array(y, ensure_all_finite=False, input_name="y", **form)
        if self.output == "sequence":
            self._require_steps(X, y)
        return y

    def _require_steps(self, X: Any, y: np.ndarray) -> None:
        """Refuse one target per sequence; of samples that were meant as steps it is the sign."""
        if y.ndim > 1 and (y.shape[1:] != (1,) or np.shape(X)[1:2] == (1,)):
            return
        message = (
            "output='sequence' takes a target for every step, y of shape (B, T) or (B, T, O), "
            f"received {y.shape}"
        )
        if np.ndim(X) == 3 and np.shape(X)[2] == 1:
            rows, steps = np.shape(X)[:2]
            message += (
                f"; the {rows} rows of a two-dimensional X are that many samples, each of {steps} "
                "steps of one feature: pass [X] and [y] if they are the steps of one series"
            )
        raise ValueError(message)

    def _scored(
        self, X: Any, y: Any, sample_weight: Any, static: Any
    ) -> tuple[np.ndarray, np.ndarray, Any]:
        """Targets, predictions and weights, one behind the other."""
        check_is_fitted(self)
        rows = X, y, sample_weight, static
        X, y, sample_weight, attributes = self._unlabelled(*rows, names=self._names_of_static)
        predicted = _flat(self.predict(X, attributes.values), self.output)
        truth = _flat(y, self.output)
        return truth, predicted, _flat_weight(sample_weight, y, self.output)

    def _predicted(self, X: Any, static: Any) -> Any:
        X, static = self._inputs_of_model(X, static)
        return self.model_.predict(X, static=static)

    def _inputs_of_model(self, X: Any, static: Any) -> tuple[Any, Any]:
        """Sequences and attributes as `model_` takes them."""
        check_is_fitted(self)
        X, _, _, attributes = self._unlabelled(X, static=static, names=self._names_of_static)
        return self._read(X, reset=False), attributes.values

    def __sklearn_tags__(self) -> Any:
        """Sequences of vectors too, and missing inputs where they are filled."""
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        tags.input_tags.allow_nan = self.missing == "mask"
        return tags


class LSTMRegressor(RegressorMixin, _SequenceEstimator):  # type: ignore[misc]
    """Regression from sequences by an LSTM network, as a scikit-learn estimator.

    Needs scikit-learn, the extra ``sklearn``.

    Parameters
    ----------
    hidden_size, num_layers, bidirectional, residual, learned_state : optional
        As in `numlstm.fit`.
    proj_size, direct_input : optional
        As in `numlstm.fit`.
    cell, init : dict, optional
        As in `numlstm.fit`. In a search, ``cell__layer_norm`` and the like name what lies within
        `cell`, `init` and `limits`.
    output : {"last", "sequence"}, optional
        One target per sequence, y (B,) or (B, O), or one per step, y (B, T) or (B, T, O) or a list.
    loss : {"mse", "mae", "huber"}, optional
        The loss that is minimised; None is "mse".
    weight : {"nse"}, optional
        As in `numlstm.fit`, for ``output="sequence"``.
    method, learning_rate, schedule, weight_decay, dropout, clip : optional
        As in `numlstm.fit`.
    batch_size, epochs, bptt_steps : int, optional
        As in `numlstm.fit`.
    window, stride, predict_last, shuffle : optional
        As in `numlstm.fit`, with ``output="sequence"``: windows over long series. `predict` gives
        NaN where the history is too short, and `score` leaves that out.
    validation : float, tuple (X, y) or (X, y, sample_weight), or dict, optional
        Fraction of the sequences to judge each epoch by, or data, read as those of `fit`.
    patience, tol, metrics, standardize, nan_policy, missing : optional
        As in `numlstm.fit`. Where ``nan_policy="omit"`` leaves out a target, so does `score`.
    dtype, backend, precision, options, limits : optional
        As in `numlstm.fit`.
    random_state : None, int or numpy.random.RandomState, optional
        Source of initial weights, order and dropout.

    Attributes
    ----------
    model_ : LSTM
        The trained network.
    result_ : FitResult
        The result of `numlstm.fit`.
    n_features_in_ : int
        Features per step, of a two-dimensional X the steps.
    n_iter_ : int
        Epochs or iterations that were run.

    Raises
    ------
    ValueError, TypeError
        By `fit`, as `numlstm.fit`; constructing checks nothing, as scikit-learn wants it.

    Examples
    --------
    >>> import numpy as np
    >>> from numlstm import LSTMRegressor
    >>> X = np.random.default_rng(0).standard_normal((60, 8, 1))
    >>> regressor = LSTMRegressor(8, epochs=40, random_state=0).fit(X, X[:, -1, 0])
    >>> bool(regressor.score(X, X[:, -1, 0]) > 0.9)
    True
    """

    _losses = ("mse", "mae", "huber")
    _plain_targets = staticmethod(labels.targets)

    def fit(self, X: Any, y: Any, sample_weight: Any = None, static: Any = None) -> "LSTMRegressor":
        """Train on sequences.

        Parameters
        ----------
        X : array_like, shape (B, T, I) or (B, T), or list of arrays (T_i, I)
            The sequences. The rows of a (B, T) array are B series of T steps and one feature,
            where `numlstm.fit` reads one series of B steps and T features: write ``X[..., None]``
            for both to read the same.
        y : array_like or list of arrays
            Targets, as `output` says.
        sample_weight : array_like, shape (B,) or (B, T), or list of arrays (T_i,), optional
            Weight of every sequence or step.
        static : array_like, shape (B, S), optional
            Attributes of the sequences: as in `numlstm.fit`. `predict` and `score` then need them.

        Returns
        -------
        self : LSTMRegressor
            The estimator.

        Raises
        ------
        ValueError, TypeError
            As `numlstm.fit`.

        Examples
        --------
        See the class.
        """
        return self._train(*self._data(X, y, sample_weight, static, reset=True))

    def partial_fit(
        self, X: Any, y: Any, sample_weight: Any = None, static: Any = None
    ) -> "LSTMRegressor":
        """Make one pass over some of the data, in batches, and go on from there at the next call.

        The first call begins with new parameters, and with the scaling of the data that it is
        given, which stays; later ones, also those after `fit`, go on with the state of the
        optimiser: `numlstm.fit` with ``model=result_``. `epochs` is not used.

        Parameters
        ----------
        X, y : array_like or list of arrays
            Sequences and targets, as for `fit`.
        sample_weight : array_like, shape (B,) or (B, T), or list of arrays (T_i,), optional
            Weight of every sequence or step, beside the others of this call.
        static : array_like, optional
            Attributes of every sequence, as for `fit`.

        Returns
        -------
        self : LSTMRegressor
            The estimator, with `n_iter_` passes made in all.

        Raises
        ------
        ValueError, TypeError
            As `fit`; for data of other features than those of the first call; where the network or
            its loss were changed since; for SciPy's methods, `validation`, `patience`, `tol` and
            `schedule`, which are for the epochs of `fit`.

        Examples
        --------
        >>> import numpy as np
        >>> from numlstm import LSTMRegressor
        >>> rng, regressor = np.random.default_rng(0), LSTMRegressor(8, random_state=0)
        >>> for _ in range(40):
        ...     X = rng.standard_normal((60, 8, 1))
        ...     regressor = regressor.partial_fit(X, X[:, -1, 0])
        >>> regressor.n_iter_, bool(regressor.score(X, X[:, -1, 0]) > 0.9)
        (40, True)
        """
        self._require_passes()
        data = self._data(X, y, sample_weight, static, reset=not hasattr(self, "result_"))
        self._train_further(*data)
        return self

    def _data(self, X: Any, y: Any, sample_weight: Any, static: Any, *, reset: bool) -> _Given:
        """What was given to learn from; `reset` where it says what the data are like."""
        self._checked_loss()
        names = None if reset else self._names_of_static
        rows = X, y, sample_weight, static
        X, y, sample_weight, static = self._unlabelled(*rows, reset=reset, names=names)
        X = self._read(X, reset=reset)
        y = self._read_targets(X, y, "numeric")
        if reset:  # whether a target is a number, and predictions are to be numbers too
            self._single = (y if self.output == "last" else y[0]).ndim == 1
        return X, y, sample_weight, static

    def predict(self, X: Any, static: Any = None) -> Any:
        """Predict, in the shape of the targets of `fit`.

        Parameters
        ----------
        X : array_like or list of arrays
            Sequences, as for `fit`.
        static : array_like, shape (B, S), optional
            Attributes of the sequences, as for `fit`.

        Returns
        -------
        y : ndarray or list of ndarray
            (B,) or (B, O) for ``output="last"``, else (B, T), (B, T, O) or a list; float64, or
            float32 where X is.

        Raises
        ------
        ValueError, TypeError, sklearn.exceptions.NotFittedError
            For sequences of another kind than those of `fit`, and before it.

        Examples
        --------
        See the class.
        """
        Y, which = self._predicted(X, static), (..., 0) if self._single else ...
        if isinstance(Y, list):
            return [part[which] for part in Y]
        return Y[which]

    def score(self, X: Any, y: Any, sample_weight: Any = None, static: Any = None) -> float:
        """R^2 of the predictions, over all steps where there is a target per step.

        Parameters
        ----------
        X, y : array_like or list of arrays
            As for `fit`.
        sample_weight : array_like, shape (B,) or (B, T), or list of arrays (T_i,), optional
            Weight of every sequence or step.
        static : array_like, shape (B, S), optional
            Attributes of the sequences, as for `fit`.

        Returns
        -------
        score : float
            1 is best.

        Raises
        ------
        ValueError, TypeError
            As `predict`.

        Examples
        --------
        See the class.
        """
        truth, predicted, weight = self._scored(X, y, sample_weight, static)
        if self.window is not None:
            there = ~np.isnan(predicted.reshape(len(predicted), -1)).any(axis=1)
            if not there.any():
                raise ValueError(
                    "X has no step to score: each is predicted from the "
                    f"{self.model_.window} steps up to it, and all series are shorter than that"
                )
            truth, predicted = truth[there], predicted[there]
            weight = None if weight is None else weight[there]
        if self.nan_policy != "omit" or not np.isnan(truth).any():
            return float(r2_score(truth, predicted, sample_weight=weight))
        columns = (part.reshape(len(part), -1).T for part in (truth, predicted))
        scores = []
        for true, given in zip(*columns, strict=True):
            there = ~np.isnan(true)
            of = None if weight is None else weight[there]
            scores.append(r2_score(true[there], given[there], sample_weight=of))
        return float(np.mean(scores))

    def __sklearn_tags__(self) -> Any:
        """Several targets are fine."""
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags


class LSTMClassifier(ClassifierMixin, _SequenceEstimator):  # type: ignore[misc]
    """Classification of sequences, or of their steps, by an LSTM network, for scikit-learn.

    Needs scikit-learn, the extra ``sklearn``. Labels may be anything that can be sorted.

    Parameters
    ----------
    hidden_size, num_layers, bidirectional, residual : optional
        As in `LSTMRegressor`.
    learned_state, proj_size, direct_input, cell, init : optional
        As in `LSTMRegressor`.
    output : {"last", "sequence"}, optional
        One label per sequence, y (B,), or one per step, y (B, T) or a list.
    loss : {"cross_entropy"}, optional
        The loss that is minimised; None is "cross_entropy".
    weight : optional
        Refused: targets that are classes have no spread. See `class_weight`.
    method, learning_rate, schedule : optional
        As in `LSTMRegressor`.
    class_weight : dict or "balanced", optional
        Weight of every class, by label, 1 for a label that is left out; it multiplies
        `sample_weight`. "balanced": N / (K N_k), for K classes and N labels, N_k of them of the
        class. Default: 1 for all. A share that `validation` sets aside has them too; data of their
        own have the weights that are given with them.
    weight_decay, dropout, clip, batch_size, epochs, bptt_steps : optional
        As in `LSTMRegressor`.
    validation, patience, tol : optional
        As in `LSTMRegressor`.
    metrics : optional
        As in `numlstm.fit`: "accuracy", and functions, which get places in `classes_` for labels.
    standardize : optional
        As in `LSTMRegressor`.
    nan_policy : {"raise", "omit"}, optional
        "omit": where `y` is NaN or None there is no label, in `fit` and in `score`.
    missing, dtype, backend, precision, options, limits, random_state : optional
        As in `LSTMRegressor`.

    Attributes
    ----------
    classes_ : ndarray
        The labels, sorted.
    model_ : LSTM
        The trained network; it gives logits.
    result_ : FitResult
        The result of `numlstm.fit`.
    n_features_in_ : int
        Features per step, of a two-dimensional X the steps.
    n_iter_ : int
        Epochs or iterations that were run.

    Raises
    ------
    ValueError, TypeError
        By `fit`, as `numlstm.fit`; constructing checks nothing, as scikit-learn wants it.

    Examples
    --------
    >>> import numpy as np
    >>> from numlstm import LSTMClassifier
    >>> X = np.random.default_rng(0).standard_normal((60, 8, 1))
    >>> y = np.where(X[:, -1, 0] > 0, "up", "down")
    >>> classifier = LSTMClassifier(8, epochs=40, random_state=0).fit(X, y)
    >>> classifier.classes_.tolist(), bool(classifier.score(X, y) > 0.9)
    (['down', 'up'], True)
    """

    _losses = ("cross_entropy",)
    _plain_targets = staticmethod(labels.classes)

    @suggesting(_NOUNS, SYNONYMS, OF_CLASSES)
    def __init__(
        self,
        hidden_size: int = 32,
        *,
        num_layers: int = 1,
        bidirectional: bool = False,
        residual: bool = False,
        learned_state: bool = False,
        proj_size: int | None = None,
        direct_input: bool = False,
        cell: Cell | Mapping[str, Any] | None = None,
        init: Init | Mapping[str, Any] | None = None,
        output: str = "last",
        loss: str | None = None,
        weight: str | None = None,
        method: str = "adam",
        learning_rate: float | None = None,
        schedule: str | Callable[[int], float] | None = None,
        class_weight: Mapping[Any, float] | str | None = None,
        weight_decay: float = 0.0,
        dropout: float | Mapping[str, float] = 0.0,
        clip: float | None = 1.0,
        batch_size: int = 32,
        epochs: int = 100,
        bptt_steps: int | None = None,
        validation: Any = None,
        patience: int | None = None,
        tol: float | None = None,
        metrics: Any = None,
        standardize: bool = True,
        nan_policy: str = "raise",
        missing: str = "raise",
        dtype: Any = "float32",
        backend: str = "auto",
        precision: str | None = None,
        options: Mapping[str, Any] | None = None,
        limits: LimitsConfig | Mapping[str, Any] | None = None,
        random_state: Any = None,
    ):
        super().__init__(
            hidden_size,
            num_layers=num_layers,
            bidirectional=bidirectional,
            residual=residual,
            learned_state=learned_state,
            proj_size=proj_size,
            direct_input=direct_input,
            cell=cell,
            init=init,
            output=output,
            loss=loss,
            weight=weight,
            method=method,
            learning_rate=learning_rate,
            schedule=schedule,
            weight_decay=weight_decay,
            dropout=dropout,
            clip=clip,
            batch_size=batch_size,
            epochs=epochs,
            bptt_steps=bptt_steps,
            validation=validation,
            patience=patience,
            tol=tol,
            metrics=metrics,
            standardize=standardize,
            nan_policy=nan_policy,
            missing=missing,
            dtype=dtype,
            backend=backend,
            precision=precision,
            options=options,
            limits=limits,
            random_state=random_state,
        )
        self.class_weight = class_weight

    def fit(
        self, X: Any, y: Any, sample_weight: Any = None, static: Any = None
    ) -> "LSTMClassifier":
        """Train on sequences.

        Parameters
        ----------
        X : array_like, shape (B, T, I) or (B, T), or list of arrays (T_i, I)
            The sequences. The rows of a (B, T) array are B series of T steps and one feature,
            where `numlstm.fit` reads one series of B steps and T features: write ``X[..., None]``
            for both to read the same.
        y : array_like or list of arrays
            Labels, as `output` says.
        sample_weight : array_like, shape (B,) or (B, T), or list of arrays (T_i,), optional
            Weight of every sequence or step.
        static : array_like, shape (B, S), optional
            Attributes of the sequences: as in `numlstm.fit`. `predict` and `score` then need them.

        Returns
        -------
        self : LSTMClassifier
            The estimator.

        Raises
        ------
        ValueError, TypeError
            As `numlstm.fit`.

        Examples
        --------
        See the class.
        """
        X, y, sample_weight, attributes = self._data(X, y, sample_weight, static, reset=True)
        found = self._found(y)
        self.classes_ = np.unique(found)
        self._warn_of_ignored()
        return self._train(X, *self._numbered(found, y, sample_weight), attributes)

    def partial_fit(
        self,
        X: Any,
        y: Any,
        classes: Any = None,
        sample_weight: Any = None,
        static: Any = None,
    ) -> "LSTMClassifier":
        """Make one pass over some of the data, in batches, and go on from there at the next call.

        The first call begins with new parameters, and with the scaling of the data that it is
        given, which stays; later ones, also those after `fit`, go on with the state of the
        optimiser: `numlstm.fit` with ``model=result_``. `epochs` is not used.

        Parameters
        ----------
        X, y : array_like or list of arrays
            Sequences and labels, as for `fit`; not all classes need to be there.
        classes : array_like, shape (K,), optional
            All labels. The first call needs them; later ones may have them again.
        sample_weight : array_like, shape (B,) or (B, T), or list of arrays (T_i,), optional
            Weight of every sequence or step, beside the others of this call.
        static : array_like, optional
            Attributes of every sequence, as for `fit`.

        Returns
        -------
        self : LSTMClassifier
            The estimator, with `n_iter_` passes made in all.

        Raises
        ------
        ValueError, TypeError
            As `LSTMRegressor.partial_fit`; for a first call without `classes`, other `classes`
            than before, labels that are not among them, and ``class_weight="balanced"``, for which
            all labels must be known.

        Examples
        --------
        >>> import numpy as np
        >>> from numlstm import LSTMClassifier
        >>> rng, classifier = np.random.default_rng(0), LSTMClassifier(8, random_state=0)
        >>> for _ in range(40):
        ...     X = rng.standard_normal((60, 8, 1))
        ...     y = np.where(X[:, -1, 0] > 0, "up", "down")
        ...     classifier = classifier.partial_fit(X, y, classes=["up", "down"])
        >>> classifier.classes_.tolist(), bool(classifier.score(X, y) > 0.9)
        (['down', 'up'], True)
        """
        self._require_passes()
        if isinstance(self.class_weight, str):
            raise ValueError(
                f"class_weight={self.class_weight!r} needs all labels, and partial_fit is given "
                "some: pass a dict of weights, or sample_weight"
            )
        first = not hasattr(self, "result_")
        known = self._all_classes(classes, first)
        X, y, sample_weight, attributes = self._data(X, y, sample_weight, static, reset=first)
        found = self._found(y)
        if not (seen := np.isin(found, known)).all():
            unknown, named = (checks.shown(found[~seen].tolist()[0]), checks.shown(known.tolist()))
            raise ValueError(f"y has the label {unknown}, which is not in classes, {named}")
        self.classes_ = known
        self._warn_of_ignored()
        numbers = self._numbered(found, y, sample_weight)
        self._train_further(X, *numbers, attributes, max(2, len(known)))
        return self

    def _all_classes(self, classes: Any, first: bool) -> np.ndarray:
        """The labels that `partial_fit` may meet."""
        if classes is None and first:
            raise ValueError("classes must be passed on the first call to partial_fit")
        given = None if classes is None else np.unique(column_or_1d(classes))
        if given is None or first:
            return self.classes_ if given is None else given
        if not np.array_equal(given, self.classes_):
            raise ValueError(
                f"classes={checks.shown(given.tolist())} is not the same as before, "
                f"{checks.shown(self.classes_.tolist())}"
            )
        return self.classes_

    def _data(self, X: Any, y: Any, sample_weight: Any, static: Any, *, reset: bool) -> _Given:
        """What was given to learn from; `reset` where it says what the data are like."""
        self._checked_loss()
        given = X
        names = None if reset else self._names_of_static
        rows = X, y, sample_weight, static
        X, y, sample_weight, static = self._unlabelled(*rows, reset=reset, names=names)
        X = self._learned_from(given, self._read(X, reset=reset))
        return X, self._read_labels(X, y), sample_weight, static

    def _found(self, y: Any) -> np.ndarray:
        """The labels that there are."""
        found = _flat(y, self.output)
        there = _labelled(found)
        if self.nan_policy != "omit" and not there.all():
            raise ValueError(
                f"y has {np.sum(~there)} NaN or None: remove them, or pass nan_policy='omit', to "
                "which they are no labels"
            )
        found = _present(found, there)
        if found.dtype.kind == "f":
            checks.require_finite("y", found)
        check_classification_targets(found)
        return found

    def _warn_of_ignored(self) -> None:
        if self.classes_.dtype.kind in "if" and -100 in self.classes_:
            notices.warn(
                "-100 is a label like any other here, not PyTorch's ignore_index: where there is "
                "no label write NaN, and pass nan_policy='omit'"
            )

    def _numbered(self, found: np.ndarray, y: Any, sample_weight: Any) -> tuple[Any, Any]:
        """The numbers of labels, and weights with those of their classes."""
        numbers: Any = _each(self._numbers, y)
        if self.class_weight is not None:
            sample_weight = self._class_weights(found, numbers, sample_weight)
        return numbers, sample_weight

    def _learned_from(self, given: Any, X: Any) -> Any:
        """What was given, and is read as X, with grades as numbers; tokens are refused."""
        if not _is_table(given):
            require_no_tokens(labels.read("X", given))
            return X
        doubt = in_rows(given, X)
        if doubt and np.unique(X[~np.isnan(X)]).size > _FEW_GRADES:
            raise ValueError(doubt)
        return X.astype(np.float64) if doubt else X

    def _validation_targets(self, X: Any, y: Any) -> Any:
        """The numbers of labels, all of which `fit` has seen."""
        y = self._read_labels(X, y)
        found = _flat(y, self.output)
        found = _present(found, _labelled(found))
        if not (known := np.isin(found, self.classes_)).all():
            raise ValueError(
                f"validation: y has the label {checks.shown(found[~known][0])}, which y of fit has "
                "not"
            )
        return _each(self._numbers, y)

    def _read_labels(self, X: Any, y: Any) -> Any:
        """Labels beside X; a column of them, one per sequence, as a vector."""
        y = self._read_targets(X, y, None)
        is_column = self.output == "last" and np.ndim(y) == 2 and np.shape(y)[1] == 1
        return column_or_1d(y, warn=True) if is_column else y

    def _numbers(self, found: np.ndarray) -> np.ndarray:
        """The place of every label in `classes_`, NaN where there is none."""
        there = _labelled(found)
        numbers = np.full(found.shape, np.nan)
        numbers[there] = np.searchsorted(self.classes_, found[there])
        return numbers

    def _class_weights(self, found: np.ndarray, numbers: Any, sample_weight: Any) -> Any:
        """Weights of sequences or steps with those of their classes."""
        if isinstance(self.class_weight, Mapping):
            if unknown := [label for label in self.class_weight if label not in self.classes_]:
                raise ValueError(
                    f"class_weight has {checks.shown(unknown[0])}, which is no label of y; the "
                    f"labels are {checks.shown(self.classes_.tolist())}"
                )
            for label, value in self.class_weight.items():
                checks.real(f"class_weight[{label!r}]", value, least=0.0)
        of_class = compute_class_weight(self.class_weight, classes=self.classes_, y=found)

        def weights(part: np.ndarray) -> np.ndarray:
            of_part: np.ndarray = of_class[np.where(np.isnan(part), 0, part).astype(np.intp)]
            return of_part

        if sample_weight is None:
            sample_weight = np.ones(len(numbers))
        if self.output == "sequence":
            given = _step_weights(sample_weight, numbers)
            return [weights(part) * own for part, own in zip(numbers, given, strict=True)]
        own = np.asarray(sample_weight)
        # one of another shape is refused by the fit
        return weights(numbers) * own if own.shape == numbers.shape else own

    def predict_proba(self, X: Any, static: Any = None) -> Any:
        """Probability of every class.

        Parameters
        ----------
        X : array_like or list of arrays
            Sequences, as for `fit`.
        static : array_like, shape (B, S), optional
            Attributes of the sequences, as for `fit`.

        Returns
        -------
        probability : ndarray or list of ndarray
            (B, K), or per step (B, T, K) or a list of (T_i, K), in the order of `classes_`.

        Raises
        ------
        ValueError, TypeError, sklearn.exceptions.NotFittedError
            For sequences of another kind than those of `fit`, and before it.

        Examples
        --------
        See the class.
        """
        return _each(self._probability, self._predicted(X, static))

    def predict_log_proba(self, X: Any, static: Any = None) -> Any:
        """Logarithm of the probability of every class, exact where the probability is near 0.

        Parameters
        ----------
        X : array_like or list of arrays
            Sequences, as for `fit`.
        static : array_like, shape (B, S), optional
            Attributes of the sequences, as for `fit`.

        Returns
        -------
        log_probability : ndarray or list of ndarray
            In the shape of `predict_proba`.

        Raises
        ------
        ValueError, TypeError, sklearn.exceptions.NotFittedError
            For sequences of another kind than those of `fit`, and before it.

        Examples
        --------
        See the class.
        """
        return _each(self._log_probability, self._predicted(X, static))

    def predict(self, X: Any, static: Any = None) -> Any:
        """The most probable class.

        Parameters
        ----------
        X : array_like or list of arrays
            Sequences, as for `fit`.
        static : array_like, shape (B, S), optional
            Attributes of the sequences, as for `fit`.

        Returns
        -------
        y : ndarray or list of ndarray
            Labels, (B,), or per step (B, T) or a list of (T_i,).

        Raises
        ------
        ValueError, TypeError, sklearn.exceptions.NotFittedError
            For sequences of another kind than those of `fit`, and before it.

        Examples
        --------
        See the class.
        """
        probability = self.predict_proba(X, static)
        return _each(lambda part: self.classes_[part.argmax(axis=-1)], probability)

    def score(self, X: Any, y: Any, sample_weight: Any = None, static: Any = None) -> float:
        """Share of right labels, over all steps where there is a label per step.

        Parameters
        ----------
        X, y : array_like or list of arrays
            As for `fit`.
        sample_weight : array_like, shape (B,) or (B, T), or list of arrays (T_i,), optional
            Weight of every sequence or step.
        static : array_like, shape (B, S), optional
            Attributes of the sequences, as for `fit`.

        Returns
        -------
        score : float
            Between 0 and 1.

        Raises
        ------
        ValueError, TypeError
            As `predict`.

        Examples
        --------
        See the class.
        """
        truth, predicted, weight = self._scored(X, y, sample_weight, static)
        if self.nan_policy == "omit":
            there = _labelled(truth)
            truth, predicted = _present(truth, there), predicted[there]
            weight = None if weight is None else weight[there]
        return float(accuracy_score(truth, predicted, sample_weight=weight))

    def _shifted(self, logits: np.ndarray) -> np.ndarray:
        """The logits of the classes less the largest; of one class there are two."""
        logits = logits[..., : len(self.classes_)].astype(np.float64)
        shifted: np.ndarray = logits - logits.max(axis=-1, keepdims=True)
        return shifted

    def _probability(self, logits: np.ndarray) -> np.ndarray:
        exp = np.exp(self._shifted(logits))
        probability: np.ndarray = exp / exp.sum(axis=-1, keepdims=True)
        return probability

    def _log_probability(self, logits: np.ndarray) -> np.ndarray:
        shifted = self._shifted(logits)
        log: np.ndarray = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
        return log


def _is_table(X: Any) -> bool:
    """Whether the rows of X are the sequences, of one feature."""
    if isinstance(X, (list, tuple)):
        return np.ndim(X[0]) == 1
    return getattr(X, "ndim", 2) == 2


def _flat(y: Any, output: str) -> np.ndarray:
    """Targets per step of all sequences behind one another, (N,) or (N, O)."""
    if output == "last":
        return np.asarray(y)
    return np.concatenate([np.asarray(part) for part in y])


def _each(function: Callable[[np.ndarray], np.ndarray], values: Any) -> Any:
    """A function of an array; of a list, part by part."""
    return list(map(function, values)) if isinstance(values, list) else function(values)


def _is_nested(value: Any) -> bool:
    """A list, or an array of objects, with an array or a list for every sequence."""
    listed = isinstance(value, (list, tuple)) or getattr(value, "dtype", None) == np.dtype(object)
    return listed and any(np.ndim(part) > 0 for part in value)


def _labelled(found: np.ndarray) -> np.ndarray:
    """True where there is a label, False where there is NaN or None."""
    if found.dtype == object:
        there = [label is not None and label == label for label in found.ravel()]
        return np.array(there, bool).reshape(found.shape)
    return ~np.isnan(found) if found.dtype.kind == "f" else np.ones(found.shape, bool)


def _present(found: np.ndarray, there: np.ndarray) -> np.ndarray:
    """The labels that there are; of their own type, where an object stood for one that is not."""
    found = found[there]
    return found if there.all() else np.array(found.tolist())


def _step_weights(sample_weight: Any, y: Any) -> list[np.ndarray]:
    """The weight of every step, (T_i,), for every sequence, from one per sequence or per step."""
    counts = [len(part) for part in y]
    parts = [np.asarray(part, np.float64) for part in sample_weight]
    if len(parts) != len(counts) or any(
        part.shape not in ((), (count,)) for part, count in zip(parts, counts, strict=True)
    ):
        raise ValueError(
            "sample_weight must hold one weight per sequence, (B,), or per step, (B, T) or a list "
            f"of arrays (T_i,), for the {len(counts)} sequences; received {len(parts)} entries, "
            f"the first of shape {parts[0].shape if parts else ()}"
        )
    return [np.broadcast_to(part, count) for part, count in zip(parts, counts, strict=True)]


def _flat_weight(sample_weight: Any, y: Any, output: str) -> Any:
    """The weight of every target in the order of `_flat`."""
    if sample_weight is None or output == "last":
        return sample_weight
    return np.concatenate(_step_weights(sample_weight, y))
