"""What to write instead of a frame that is refused, as code for its library."""

import contextlib
import inspect
import warnings
from typing import Any

import numpy as np

from numlstm.data.labels import times
from numlstm.data.labels.names import FEATURES, SEQUENCES, TIMES, called
from numlstm.data.labels.times import Likeness
from numlstm.utils.types import Array

_DAYS = ("%d.%m.%Y", "%d/%m/%Y", "%d-%m-%Y", "%m/%d/%Y", "%m-%d-%Y", "%Y/%m/%d", "%Y.%m.%d")
_FORMS = [
    *(day + clock for day in _DAYS for clock in ("", " %H:%M", " %H:%M:%S")),
    *("%Y%m%d", "%Y-%j", "%Y%j", "%Y"),
]


def of_several_series(frame: Any) -> str:
    """How to tell series apart whose times are the same, by a column; "" where none does it."""
    keys = [column for column in frame.columns if _tells_apart(frame, column)]
    if not keys:
        return ""
    key = next((column for column in keys if _words(column).size), keys[0])
    return _by_column(frame, key, frame.time)


def of_column(frame: Any, column: Any) -> str:
    """How to write a column that holds no numbers."""
    import narwhals as nw

    cell = _cell(frame, column)
    if getattr(getattr(column.to_native(), "dtype", None), "tz", None) is not None:
        return f'write it in UTC, {cell} = {cell}.dt.tz_convert("UTC")'
    if column.dtype == nw.Duration:
        return f"write it as a number, {cell}.dt.total_seconds(), or leave it out"
    if listed := _listed(frame, column):
        return f"several series are a list of arrays: pass {listed}"
    words = _words(column)
    if words.size == 0:
        code = f"{cell}.astype(float)" if _are_numbers(column) else "or leave it out"
        return f"write it as numbers, {code}"
    if _are_dates(column):
        return "leave it out" if frame.are_samples else _as_dates(frame, column, words)
    if frame.name.startswith("y"):
        return (
            f"number the classes, names, y = numpy.unique({cell}, return_inverse=True), and pass "
            'loss="cross_entropy"; LSTMClassifier takes their names'
        )
    remedy = f"write it one-hot, {_one_hot(frame, column)}, or leave it out"
    if frame.name == "static":
        return _of_names_of_series(frame, column, words) or remedy
    if frame.name.startswith("X") and not frame.is_column:  # it would tell the network the answer
        answer = f"if it is what is to be predicted, pass it as y and drop it from {frame.whole}"
        remedy = f"{answer}; else {remedy}"
    if frame.are_samples or frame.is_column or np.unique(words).size == words.size:
        return remedy
    dates = [other for other in frame.columns if _are_dates(other)]
    time = frame.time if frame.time is not None else next(iter(dates), None)
    return f"{remedy}. {_by_column(frame, column, time)}"


def _of_names_of_series(frame: Any, column: Any, words: Array) -> str:
    """What to do with texts that name the rows, as those of a table of attributes; "" of others."""
    if frame.is_column or not frame.rows == words.size == np.unique(words).size:
        return ""
    label = _quoted(column.name)
    if frame.library.is_pandas_like():
        fix = f"pass static.set_index({label})"
    else:
        fix = f"pass static{_without(frame, label)}, its rows in the order of the series of X"
    return f"its values are all different; if they are the names of the series, {fix}"


def of_names(frame: Any, name: str, titles: Any) -> str:
    """What to pass where the names of columns stand for their values."""
    several = isinstance(titles, list)
    label = repr(titles) if several else _quoted(titles)
    values = f".select({label})" if several and frame.library.is_pyarrow() else f"[{label}]"
    whole = frame.whole
    return f"pass {name}={whole}{values}, {whole}={whole}{_without(frame, label)}"


def without_dates(frame: Any, column: Any) -> str:
    """A template of code that makes an array of the other columns."""
    made = ".to_pandas().to_numpy()" if frame.library.is_pyarrow() else ".to_numpy()"
    return "{name}" + _without(frame, _quoted(column.name)) + made


def transposed(frame: Any) -> tuple[str, str]:
    """Code that exchanges rows and columns, and code that makes an array of them as they are."""
    if frame.library.is_polars():
        return f"{frame.name}.transpose()", f"{frame.name}.to_numpy()"
    pandas = f"{frame.name}.to_pandas()" if frame.library.is_pyarrow() else frame.name
    return f"{pandas}.T", f"{pandas}.to_numpy()"


def _without(frame: Any, label: str) -> str:
    """What leaves columns out, behind the name of a frame."""
    method = {"polars": "drop(", "pyarrow": "drop_columns("}
    return f".{method.get(frame.library.value, 'drop(columns=')}{label})"


def of_levels(name: str, frame: Any) -> str:
    """Which levels of columns there are, and how to do without all but one."""
    columns = frame.columns
    titles = [i if title is None else title for i, title in enumerate(columns.names)]
    series = [i for i, title in enumerate(titles) if called(title, SEQUENCES)]
    features = [i for i, title in enumerate(titles) if called(title, FEATURES)]
    levels = series if len(series) == 1 else [i for i in range(len(titles)) if i not in features]
    shown = [
        f"{name} = {name}.stack({_quoted(titles[level])}{_future(frame)}) if "
        f"{', '.join(repr(label) for label in columns.unique(level)[:3])} are series"
        for level in levels or range(len(titles))
    ]
    return (
        f"{', '.join(map(repr, titles))}: make rows of the one that tells series apart, "
        f"{', '.join(shown)}; if all are features of one series give them plain names, "
        f'{name}.columns = ["_".join(map(str, names)) for names in {name}.columns]'
    )


def _future(frame: Any) -> str:
    """What `stack` has to be told before pandas 3, which would warn of its older way."""
    option = inspect.signature(frame.stack).parameters.get("future_stack")
    return ", future_stack=True" if option is not None and option.default is False else ""


def _by_column(frame: Any, key: Any, time: Any) -> str:
    """How to make a series of each value of a column."""
    name, column = frame.whole, _quoted(key.name)
    start = f"Where its column {str(key.name)!r} tells series apart, pass"
    if frame.library.is_polars():
        return (
            f"{start} {name}.partition_by({column}, include_key=False), and cut what stands beside "
            "it alike"
        )
    level = f"{column}, append=True"
    if time is not None and name == frame.name:
        level = f"[{column}, {_quoted(time.name)}]"
    if frame.library.is_pyarrow():
        return f"{start} {name}.to_pandas().set_index({level}), and what stands beside it as arrays"
    return f"{start} {name} = {name}.set_index({level}), and beside it y = y.set_axis({name}.index)"


def _tells_apart(frame: Any, column: Any) -> bool:
    """Whether the rows of each value have times of their own, one and the same time in several."""
    words = _words(column)
    if words.size:
        keys = words
    elif column.dtype.is_integer() and not called(column.name, TIMES):
        keys = column.to_numpy()
    else:
        return False
    ticks = frame.axes[0].ticks
    if len(keys) != len(ticks) or _are_dates(column):
        return False
    _, numbers, counts = np.unique(keys, return_inverse=True, return_counts=True)
    pairs = np.stack([numbers, np.unique(ticks, return_inverse=True)[1]], axis=1)
    return bool(counts.min() > 1 and len(np.unique(pairs, axis=0)) == len(pairs))


def _listed(frame: Any, column: Any) -> str:
    """Code that makes a list of a column of arrays or lists, a series in each; "" of others."""
    import narwhals as nw

    cell = frame.name if frame.is_column else f"{frame.whole}[{_quoted(column.name)}]"
    if column.dtype in (nw.List, nw.Array) and not frame.library.is_pandas_like():
        method = "to_list" if frame.library.is_polars() else "to_pylist"
        return f"[numpy.array(part) for part in {cell}.{method}()]"
    entries = column.to_list() if column.dtype in (nw.Object, nw.List) else []
    if any(isinstance(part, (list, tuple)) for part in entries):
        return f"[numpy.array(part) for part in {cell}]"
    return f"list({cell})" if any(map(np.ndim, entries)) else ""


def _words(column: Any) -> Array:
    """The texts of a column, where all that is in it are texts."""
    import narwhals as nw

    if column.dtype in (nw.Categorical, nw.Enum):
        column = column.cast(nw.String)
    if column.dtype not in (nw.String, nw.Object):
        return np.empty(0, object)
    words = np.array(column.drop_nulls().to_list(), object)
    return words if all(isinstance(word, str) for word in words) else np.empty(0, object)


def _are_numbers(column: Any) -> bool:
    """Whether objects are numbers, as NumPy makes them of such."""
    import narwhals as nw

    with contextlib.suppress(TypeError, ValueError):
        return bool(column.dtype == nw.Object and column.to_numpy().astype(float).size)
    return False


def _are_dates(column: Any) -> bool:
    """Whether texts are dates; those of digits alone if they are called so."""
    found = times.likeness(_words(column))
    return found is Likeness.CERTAIN or (found is Likeness.PERHAPS and called(column.name, TIMES))


def _as_dates(frame: Any, column: Any, words: Array) -> str:
    """How to make dates of texts: in the way in which the library reads what they are."""
    start, cell = "its texts are dates: write them so, ", _cell(frame, column)
    if frame.library.is_pyarrow():
        return f"{start}as in {cell}, by pandas.to_datetime with a format"
    known = times.ticks(words)
    forms = () if known is None else (None, *_FORMS)
    form = next((form for form in forms if _reads(frame, words, form, known)), "")
    if form == "":
        reader = "str.to_datetime" if frame.library.is_polars() else "pandas.to_datetime"
        return f"{start}by {reader} with the format that they have"
    said = "" if form is None else f'"{form}"'
    if frame.library.is_polars():
        code = f"{cell}.str.to_datetime({said})"
        return f"{start}{code if frame.is_column else f'{frame.whole}.with_columns({code})'}"
    said = said and f", format={said}"
    return f"{start}{cell} = pandas.to_datetime({cell}{said})"


def _reads(frame: Any, words: Array, form: str | None, known: Any) -> bool:
    """Whether the library reads texts in a format as these times."""
    library = frame.library.to_native_namespace()
    with contextlib.suppress(Exception), warnings.catch_warnings():
        warnings.simplefilter("error")
        if frame.library.is_polars():
            found = library.Series(list(words)).str.to_datetime(form).to_numpy()
        else:
            found = library.to_datetime(library.Series(words), format=form).to_numpy()
        return np.array_equal(found, known)
    return False


def _one_hot(frame: Any, column: Any) -> str:
    label = _quoted(column.name)
    if frame.library.is_polars():
        name = f"{frame.name}.to_frame()" if frame.is_column else frame.whole
        return f"{name}.to_dummies({'' if frame.is_column else label})"
    if frame.is_column:
        return f"pandas.get_dummies({frame.name})"
    if frame.library.is_pyarrow():
        return f"pandas.get_dummies({frame.whole}.to_pandas(), columns=[{label}])"
    return f"pandas.get_dummies({frame.whole}, columns=[{label}])"


def _cell(frame: Any, column: Any) -> str:
    """The column as code."""
    method = ".to_pandas()" if frame.library.is_pyarrow() else ""
    if frame.is_column:
        return f"{frame.name}{method}"
    return f"{frame.whole}{method}[{_quoted(column.name)}]"


def _quoted(label: Any) -> str:
    return f'"{label}"' if isinstance(label, str) and '"' not in label else repr(label)
