"""Models in words: the tables that `summary`, `print` and notebooks show."""

import math
import re
from collections.abc import Iterator

from numlstm.architecture.spec import NetworkSpec
from numlstm.data.scaling import Scaling
from numlstm.model.base import SIZES, Model, count, headline
from numlstm.utils import checks
from numlstm.utils.tables import Table, block, facts, listed, short
from numlstm.utils.types import Array

_MOST_ROWS = 10


class Summary(Model):
    """The part of `numlstm.LSTM` that tells people what it is."""

    def summary(self, *, max_rows: int = _MOST_ROWS) -> str:
        """What the model is: its parameters, its variant, what it reads and what it predicts.

        It is what ``print(model)`` prints; in a notebook a model is shown as the same tables.

        Parameters
        ----------
        max_rows : int, optional
            The most features, targets and attributes whose mean and scale are listed.

        Returns
        -------
        text : str
            Lines of text. Layers above the second have the shapes of the second, and are
            counted on one line.

        Raises
        ------
        ValueError, TypeError
            For `max_rows` that is no whole number above 0.

        Examples
        --------
        >>> import numlstm
        >>> model = numlstm.LSTM(3, 8, 2, rng=0, backend="reference")
        >>> print(model.summary())
        LSTM: 3 inputs, 1 layer of 8 units, 2 outputs
        <BLANKLINE>
        Part     Parameter     Shape    Count
        layer 0  weight_ih_l0  (32, 3)     96
                 weight_hh_l0  (32, 8)    256
                 bias_l0       (32,)       32
        head     head_weight   (2, 8)      16
                 head_bias     (2,)         2
        total                             402
        <BLANKLINE>
        Variant         plain
        Arithmetic      float32, reference backend
        Prediction      2 outputs at every step
        Missing inputs  refused
        Scaling         none: predict reads and gives the numbers of the network itself
        Training        none: initial parameters
        """
        tables = _tables(self, checks.size("max_rows", max_rows))
        return "\n\n".join([headline(self.spec), *map(str, tables)])

    def __str__(self) -> str:
        """The summary; `repr` is one line."""
        return self.summary()

    def _repr_html_(self) -> str:
        """The summary in HTML, for notebooks."""
        tables = (table.html() for table in _tables(self, _MOST_ROWS))
        return block(headline(self.spec), *tables)


def _tables(model: Model, most: int) -> list[Table]:
    """Parameters; facts; and the units of the data, where there are any."""
    units = [] if model.scaling is None else [_units(model, model.scaling, most)]
    return [_parameters(model.spec), facts(_facts(model)), *units]


_LAYER = re.compile(r"_l(\d+)(_reverse)?$")


def _parameters(spec: NetworkSpec) -> Table:
    """Every parameter of the first two layers and of the head; the other layers are counted."""
    rows: list[tuple[str, ...]] = []
    before, more = "", 0
    for name, shape in spec.shapes.items():
        layer = _LAYER.search(name)
        if layer is not None and int(layer[1]) > 1:
            more += math.prod(shape)
            continue
        part = f"layer {layer[1]}{', reverse' if layer[2] else ''}" if layer else "head"
        rows.append((part if part != before else "", name, str(shape), f"{math.prod(shape)}"))
        before = part
    if more:
        last = spec.num_layers - 1
        of_head = 0 if spec.head is None else len(spec.head.shapes) + spec.direct_input
        place = len(rows) - of_head
        title = "layer 2" if last == 2 else f"layers 2-{last}"
        rows.insert(place, (title, "as layer 1", "", str(more)))
    rows.append(("total", "", "", str(spec.num_parameters)))
    return Table(("Part", "Parameter", "Shape", "Count"), rows, "lllr")


def _facts(model: Model) -> dict[str, str]:
    spec = model.spec
    found = {
        "Variant": spec.in_words(without=(*SIZES, "precision")) or "plain",
        "Arithmetic": ", ".join(_arithmetic(model)),
        "Prediction": _prediction(model),
        "Missing inputs": "refused" if model.filling is None else _FILLED,
    }
    if model.num_future:
        names = model.names.future
        found["Known ahead"] = listed(names) if names else count(model.num_future, "feature")
    if model.scaling is None:
        found["Scaling"] = "none: predict reads and gives the numbers of the network itself"
    elif model.scaling.y_mean is None:
        found["Scaling"] = "of the features, as below; outputs have no unit"
    else:
        found["Scaling"] = "predict reads and gives the units of the data, as below"
    if model.is_new:
        found["Training"] = "none: initial parameters"
    return found


_FILLED = "the last observed value, before the first the mean; an input per feature says which"


def _arithmetic(model: Model) -> Iterator[str]:
    yield model.spec.dtype
    if model.spec.precision is not None:
        yield f"{model.spec.precision} products"
    yield f"{model.network.backend.name} backend"


def _prediction(model: Model) -> str:
    """What `predict` gives, and when."""
    if model.horizon is not None:
        return _ahead(model, model.horizon)
    targets = model.names.targets and model.names.outputs(model.spec.width)
    when = _when(model)
    what = listed(targets) if targets else count(model.spec.width, "output")
    if model.forecasts:
        return f"the next value of {listed(targets) if targets else _inputs(model)}, {when}"
    return f"{what} {when}"


def _when(model: Model) -> str:
    """At which steps there is a prediction, and what it is made from."""
    if model.window is not None:
        return f"at every step, from the {count(model.window, 'step')} up to it"
    return "at every step" if model.output == "sequence" else "after the last step"


def _ahead(model: Model, horizon: int) -> str:
    """What a model forecasts that has a horizon."""
    ahead = model.ahead
    targets = 1 if ahead is None else ahead.targets
    what = listed(model.names.targets) if model.names.targets else count(targets, "target")
    return f"the next {count(horizon, 'step')} of {what}, {_when(model)}"


def _inputs(model: Model) -> str:
    """The features that a model forecasts, the first ones."""
    forecast = model.spec.width
    if forecast == model.num_features:
        return "its feature" if forecast == 1 else "its features"
    return "its first feature" if forecast == 1 else f"its first {forecast} features"


def _units(model: Model, scaling: Scaling, most: int) -> Table:
    """Mean and scale of features, targets and attributes."""
    own, ahead = model.num_features, model.ahead
    features = model.names.features or tuple(f"feature {i}" for i in range(own))
    if ahead is not None:  # one unit for all steps: that of the first
        future = model.names.future or tuple(f"future {i}" for i in range(ahead.future))
        features = (*features, *future)
    rows = _moments("input", features, scaling.x_mean, scaling.x_scale, most)
    if scaling.y_mean is not None and scaling.y_scale is not None:
        number = scaling.y_mean.size if ahead is None else ahead.targets
        targets = model.names.targets or tuple(f"target {i}" for i in range(number))
        rows += _moments("target", targets, scaling.y_mean, scaling.y_scale, most)
    if scaling.static_mean is not None and scaling.static_scale is not None:
        unnamed = tuple(f"attribute {i}" for i in range(scaling.static_mean.size))
        names = model.names.static or unnamed
        rows += _moments("static", names, scaling.static_mean, scaling.static_scale, most)
    return Table(("Units", "Name", "Mean", "Scale"), rows, "llrr")


def _moments(
    kind: str, names: tuple[str, ...], mean: Array, scale: Array, most: int
) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = [
        ("" if row else kind, short(str(name)), f"{m:.4g}", f"{s:.4g}")
        for row, (name, m, s) in enumerate(zip(names[:most], mean, scale, strict=False))
    ]
    return rows + [("", f"{len(names) - most} more", "", "")] * (len(names) > most)
