"""What is explained: a number that is made of the outputs of a step."""

from typing import Any, NamedTuple

import numpy as np

from numlstm.data.scaling import Scaling
from numlstm.model.lstm import LSTM
from numlstm.utils import checks
from numlstm.utils.types import Array

KINDS = ("output", "logit", "probability", "sigmoid")


class Explained(NamedTuple):
    """One output of a model, in the units of the data, or the probability of a class."""

    place: int  # among the outputs
    name: str
    of: str  # "output", "softmax" or "sigmoid"
    scaling: Scaling | None
    classes: int  # of a softmax the number of logits

    @property
    def factor(self) -> float:
        """Units of the data for one of the network's."""
        if self.of != "output" or self.scaling is None:
            return 1.0
        return float(self.scaling.of_outputs(self.classes)[0][self.place])

    def value(self, Y: Array) -> Array:
        """What is explained, (N,), of outputs (N, W) in the network's units; float64."""
        if self.of == "output":
            scaled = Y if self.scaling is None else self.scaling.outputs(Y)
            return scaled[:, self.place].astype(np.float64)
        return self._probability(Y)[:, 0 if self.of == "sigmoid" else self.place]

    def gradient(self, Y: Array) -> Array:
        """Its gradient by the outputs, (N, W), without the factor."""
        gradient = np.zeros(Y.shape)
        if self.of == "output":
            gradient[:, self.place] = 1.0
            return gradient
        p = self._probability(Y)
        if self.of == "sigmoid":
            gradient[:, self.place] = p[:, 0] * (1.0 - p[:, 0])
            return gradient
        own = p[:, self.place, None]
        gradient[:, : self.classes] = -own * p
        gradient[:, self.place] += own[:, 0]
        return gradient

    def _probability(self, Y: Array) -> Array:
        """Softmax over the classes (N, K), or sigmoid of one logit (N, 1); float64."""
        if self.of == "sigmoid":
            z = Y[:, self.place, None].astype(np.float64)
            exp = np.exp(-np.abs(z))
            return np.where(z >= 0, 1.0, exp) / (1.0 + exp)
        z = Y[:, : self.classes].astype(np.float64)
        exp = np.exp(z - z.max(axis=1, keepdims=True))
        probability: Array = exp / exp.sum(axis=1, keepdims=True)
        return probability


def explained(model: LSTM, output: Any, ahead: Any, of: Any, classes: Any = None) -> Explained:
    """The output that is asked for; `classes` are the labels that a classifier knows."""
    of = checks.choice("of", of, KINDS)
    width = model.spec.width
    names = list(model.output_names.outputs(width))
    if classes is not None:
        names = [str(label) for label in classes]
    count = width if classes is None else len(names)
    if ahead is None:
        index = _index(model, output, names, None if classes is None else classes.tolist())
    else:
        index = _index_ahead(model, output, ahead)
    if of == "output":
        return Explained(index, names[index], of, model.scaling, width)
    if model.scaling is not None and model.scaling.y_mean is not None:
        raise ValueError(
            f'of="{of}" is for classifiers, and the outputs of this model have the units of its '
            "targets: leave it out"
        )
    if of == "logit":
        return Explained(index, f"logit of {names[index]}", "output", None, width)
    kind = "sigmoid" if of == "sigmoid" or width == 1 else "softmax"
    return Explained(index, f"probability of {names[index]}", kind, None, count)


def _index(model: LSTM, output: Any, names: list[str], classes: list[Any] | None) -> int:
    """The place of an output that is given by place, by name or by label."""
    if output is None:
        return _only(model, names)
    if classes is not None:
        if output not in classes:
            raise ValueError(f"output must be one of the labels {classes}, received {output!r}")
        return classes.index(output)
    if isinstance(output, str):
        if output not in names:
            raise ValueError(f"output must be one of {names}, or an index, received {output!r}")
        return names.index(output)
    index = checks.size("output", output, -len(names))
    if index >= len(names):
        raise ValueError(
            f"output must be an index below {len(names)}, the number of outputs, received {index}"
        )
    return index % len(names)


def _index_ahead(model: LSTM, output: Any, steps: Any) -> int:
    """The place of a target's forecast so many steps ahead."""
    known, count = model.ahead, checks.size("ahead", steps)
    if known is None or known.horizon is None:
        raise ValueError(
            "ahead= is for models that were fitted with horizon=, this one was not: leave it out"
        )
    if count > known.steps:
        raise ValueError(
            f"this model forecasts {known.steps} step(s) ahead, received ahead={count}"
        )
    titles = model.names.outputs(known.targets)
    if output is None and known.targets > 1:
        raise ValueError(f"say which of {titles} is explained: output=, by name or by index")
    return (count - 1) * known.targets + _index(model, output or 0, titles, None)


def _only(model: LSTM, names: list[str]) -> int:
    """The only output, or the mean beside its log-variance; several are refused."""
    y_mean = None if model.scaling is None else model.scaling.y_mean
    means = len(names) if y_mean is None else min(len(names), y_mean.size)
    targets = model.names.targets
    single = means == 1 or len(names) == 1 or (targets is not None and len(targets) == 1)
    if single and model.horizon in (None, 1):
        return 0
    shown = ", ".join(map(repr, names[:20])) + ", ..." * (len(names) > 20)
    raise ValueError(
        f"this model has {len(names)} outputs, {shown}: say which one is explained, output=, by "
        "name or by index"
    )
