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
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import (
    check_array,
    check_consistent_length,
    check_is_fitted,
    check_random_state,
    validate_data,
)

from numlstm.architecture.cell import Cell
from numlstm.architecture.keywords import SYNONYMS
from numlstm.architecture.parameters import Init
from numlstm.data import labels, sequences
from numlstm.optim.bounds import LimitsConfig
from numlstm.training.fit import fit
from numlstm.utils import checks, nouns
from numlstm.utils.nouns import suggesting

# parameters that stand for several
_NOUNS: dict[str, type] = {"cell": Cell, "init": Init, "limits": LimitsConfig}


class _SequenceEstimator(BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """The base of both estimators; their parameters are those of `numlstm.fit`."""

    _losses: tuple[str, ...]  # that `loss` may be; None is the first

    @suggesting(_NOUNS, SYNONYMS)
    def __init__(
        self,
        hidden_size: int = 32,
        *,
        num_layers: int = 1,
        bidirectional: bool = False,
        residual: bool = False,
        learned_state: bool = False,
        proj_size: int | None = None,
        cell: Cell | Mapping[str, Any] | None = None,
        init: Init | Mapping[str, Any] | None = None,
        output: str = "last",
        loss: str | None = None,
        method: str = "adam",
        learning_rate: float | None = None,
        schedule: str | Callable[[int], float] | None = None,
        weight_decay: float = 0.0,
        dropout: float | Mapping[str, float] = 0.0,
        clip: float | None = 1.0,
        batch_size: int = 32,
        epochs: int = 100,
        bptt_steps: int | None = None,
        validation: float | None = None,
        patience: int | None = None,
        tol: float | None = None,
        standardize: bool = True,
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
        self.cell = cell
        self.init = init
        self.output = output
        self.loss = loss
        self.method = method
        self.learning_rate = learning_rate
        self.schedule = schedule
        self.weight_decay = weight_decay
        self.dropout = dropout
        self.clip = clip
        self.batch_size = batch_size
        self.epochs = epochs
        self.bptt_steps = bptt_steps
        self.validation = validation
        self.patience = patience
        self.tol = tol
        self.standardize = standardize
        self.missing = missing
        self.dtype = dtype
        self.backend = backend
        self.precision = precision
        self.options = options
        self.limits = limits
        self.random_state = random_state

    def _checked_loss(self) -> str:
        """The loss that was asked for, or the class's own."""
        own: str = self._losses[0]
        return own if self.loss is None else checks.choice("loss", self.loss, self._losses)

    def _train(self, X: Any, y: Any, sample_weight: Any) -> Self:
        """Fit on checked data; what was learned gets names with an underscore."""
        checks.choice("output", self.output, ("last", "sequence"))
        # of this class: the constructor of a subclass may have fewer
        names = set(_SequenceEstimator._get_param_names()) - {"loss", "random_state"}
        given = {name: getattr(self, name) for name in names} | {"loss": self._checked_loss()}
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        if sample_weight is not None:
            sample_weight = np.asarray(sample_weight, np.float64)
        self.result_ = fit(X, y, rng=seed, sample_weight=sample_weight, **given)
        self.model_ = self.result_.model
        features = self._names_of_features()
        if features is not None and len(features) == self.model_.num_features:
            self.model_.names = labels.Names(features)
        self.n_iter_ = self.result_.nit
        return self

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
        amended = {  # new objects: the caller's own stay as they are
            name: nouns.amended(
                _NOUNS[name], name, params.pop(name, getattr(self, name, None)), changes
            )
            for name, changes in inner.items()
        }
        super().set_params(**params, **amended)
        return self

    def _unlabelled(self, X: Any, *beside: tuple[str, Any], reset: bool = False) -> tuple[Any, ...]:
        """X and what stands beside it without labels, which must agree.

        A frame of samples stays one, for scikit-learn to read and to remember its names.
        """
        given = labels.samples(X, None if reset else self._names_of_features())
        parts = [labels.as_given(given, name, value) for name, value in beside]
        if isinstance(given, labels.Frame):
            return X, *parts
        if reset and given.features is not None:
            self.feature_names_in_ = np.array(given.features, dtype=object)
        elif reset and hasattr(self, "feature_names_in_"):
            del self.feature_names_in_
        return given.values, *parts

    def _names_of_features(self) -> tuple[str, ...] | None:
        """Those of the last fit."""
        names = getattr(self, "feature_names_in_", None)
        return None if names is None else tuple(names)

    def _read(self, X: Any, *, reset: bool) -> Any:
        """X as `numlstm.fit` takes it, a batch (B, T, I) or a list of series."""
        finite = "allow-nan" if self.missing == "mask" else True
        if sequences.is_list(X) and any(np.ndim(series) == 2 for series in X):
            return self._counted(list(X), np.shape(X[0])[-1], reset)
        if getattr(X, "ndim", None) == 3 or (isinstance(X, (list, tuple)) and np.ndim(X) == 3):
            X = check_array(
                X, allow_nd=True, ensure_all_finite=finite, dtype="numeric", input_name="X"
            )
            return self._counted(X, X.shape[2], reset)
        X = validate_data(self, X, reset=reset, ensure_all_finite=finite, dtype="numeric")
        return X[..., None]

    def _counted(self, X: Any, features: int, reset: bool) -> Any:
        if reset:
            self.n_features_in_ = features
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
        if sequences.is_list(y):
            return [np.asarray(part) for part in y]
        return check_array(y, ensure_2d=False, allow_nd=True, dtype=dtype, input_name="y")

    def _predicted(self, X: Any) -> Any:
        check_is_fitted(self)
        (X,) = self._unlabelled(X)
        return self.model_.predict(self._read(X, reset=False))

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
    hidden_size, num_layers, bidirectional, residual, learned_state, proj_size, cell, init
        As in `numlstm.fit`. In a search, ``cell__layer_norm`` and the like name what lies within
        `cell`, `init` and `limits`.
    output : {"last", "sequence"}, optional
        One target per sequence, y (B,) or (B, O), or one per step, y (B, T) or (B, T, O) or a list.
    loss : {"mse", "mae", "huber"}, optional
        The loss that is minimised; None is "mse".
    method, learning_rate, schedule, weight_decay, dropout, clip, batch_size, epochs, bptt_steps
        As in `numlstm.fit`.
    validation : float, optional
        Fraction of the sequences, the last ones, to judge each epoch by.
    patience, tol, standardize, missing, dtype, backend, precision, options, limits
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

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> "LSTMRegressor":
        """Train on sequences.

        Parameters
        ----------
        X : array_like, shape (B, T, I) or (B, T), or list of arrays (T_i, I)
            The sequences.
        y : array_like or list of arrays
            Targets, as `output` says.
        sample_weight : array_like, shape (B,) or (B, T), optional
            Weight of every sequence or step.

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
        self._checked_loss()
        pairs = ("y", y), ("sample_weight", sample_weight)
        X, y, sample_weight = self._unlabelled(X, *pairs, reset=True)
        X = self._read(X, reset=True)
        y = self._read_targets(X, y, "numeric")
        # whether a target is a number, and predictions are to be numbers too
        self._single = (y if self.output == "last" else y[0]).ndim == 1
        return self._train(X, y, sample_weight)

    def predict(self, X: Any) -> Any:
        """Predictions in the shape of the targets of `fit`.

        Parameters
        ----------
        X : array_like or list of arrays
            Sequences, as for `fit`.

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
        Y, which = self._predicted(X), (..., 0) if self._single else ...
        if isinstance(Y, list):
            return [part[which] for part in Y]
        return Y[which]

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """R^2 of the predictions, over all steps where there is a target per step.

        Parameters
        ----------
        X, y : array_like or list of arrays
            As for `fit`.
        sample_weight : array_like, shape (B,), optional
            Weight of every sequence.

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
        check_is_fitted(self)
        X, y, sample_weight = self._unlabelled(X, ("y", y), ("sample_weight", sample_weight))
        pair = _flat(y, self.output), _flat(self.predict(X), self.output)
        return float(r2_score(*pair, sample_weight=_per_step(sample_weight, y, pair[0])))

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
    hidden_size, num_layers, bidirectional, residual, learned_state, proj_size, cell, init
        As in `LSTMRegressor`.
    method, learning_rate, schedule, weight_decay, dropout, clip
        As in `LSTMRegressor`.
    output : {"last", "sequence"}, optional
        One label per sequence, y (B,), or one per step, y (B, T) or a list.
    loss : {"cross_entropy"}, optional
        The loss that is minimised; None is "cross_entropy".
    batch_size, epochs, bptt_steps, validation, patience, tol, standardize, missing, dtype, backend
        As in `LSTMRegressor`.
    precision, options, limits, random_state
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

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> "LSTMClassifier":
        """Train on sequences.

        Parameters
        ----------
        X : array_like, shape (B, T, I) or (B, T), or list of arrays (T_i, I)
            The sequences.
        y : array_like or list of arrays
            Labels, as `output` says.
        sample_weight : array_like, shape (B,) or (B, T), optional
            Weight of every sequence or step.

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
        self._checked_loss()
        pairs = ("y", y), ("sample_weight", sample_weight)
        X, y, sample_weight = self._unlabelled(X, *pairs, reset=True)
        X = self._read(X, reset=True)
        y = self._read_targets(X, y, None)
        if self.output == "last" and np.ndim(y) == 2 and np.shape(y)[1] == 1:
            y = _column(y)
        labels = _flat(y, self.output)
        check_classification_targets(labels)
        self.classes_ = np.unique(labels)
        if isinstance(y, list):
            numbers: Any = [np.searchsorted(self.classes_, part) for part in y]
        else:
            numbers = np.searchsorted(self.classes_, y)
        return self._train(X, numbers, sample_weight)

    def predict_proba(self, X: Any) -> Any:
        """Probability of every class.

        Parameters
        ----------
        X : array_like or list of arrays
            Sequences, as for `fit`.

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
        logits = self._predicted(X)
        if isinstance(logits, list):
            return [self._probability(part) for part in logits]
        return self._probability(logits)

    def predict(self, X: Any) -> Any:
        """The most probable class.

        Parameters
        ----------
        X : array_like or list of arrays
            Sequences, as for `fit`.

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
        probability = self.predict_proba(X)
        if isinstance(probability, list):
            return [self.classes_[part.argmax(axis=-1)] for part in probability]
        return self.classes_[probability.argmax(axis=-1)]

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Share of right labels, over all steps where there is a label per step.

        Parameters
        ----------
        X, y : array_like or list of arrays
            As for `fit`.
        sample_weight : array_like, shape (B,), optional
            Weight of every sequence.

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
        check_is_fitted(self)
        X, y, sample_weight = self._unlabelled(X, ("y", y), ("sample_weight", sample_weight))
        pair = _flat(y, self.output), _flat(self.predict(X), self.output)
        return float(accuracy_score(*pair, sample_weight=_per_step(sample_weight, y, pair[0])))

    def _probability(self, logits: np.ndarray) -> np.ndarray:
        logits = logits[..., : len(self.classes_)].astype(np.float64)  # of one class there are two
        exp = np.exp(logits - logits.max(axis=-1, keepdims=True))
        probability: np.ndarray = exp / exp.sum(axis=-1, keepdims=True)
        return probability


def _column(y: np.ndarray) -> np.ndarray:
    """A column of labels as a vector, with scikit-learn's warning."""
    from sklearn.utils.validation import column_or_1d

    column: np.ndarray = column_or_1d(y, warn=True)
    return column


def _flat(y: Any, output: str) -> np.ndarray:
    """Targets per step of all sequences behind one another, (N,) or (N, O)."""
    if output == "last":
        return np.asarray(y)
    return np.concatenate([np.asarray(part) for part in y])


def _per_step(sample_weight: Any, y: Any, flat: np.ndarray) -> Any:
    """The weight of a sequence for each of its steps."""
    if sample_weight is None or len(sample_weight) == len(flat):
        return sample_weight
    counts = [len(part) for part in y]
    return np.repeat(sample_weight, counts)
