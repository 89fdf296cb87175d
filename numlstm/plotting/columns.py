"""Columns of what is drawn: one of several, and what they are called."""

from typing import Any

from numlstm.plotting.series import Series
from numlstm.utils import checks


def chosen(given: Series, output: Any, like: Series | None = None, word: str = "output") -> Series:
    """The column that `output` names or counts; the only one, if there is one.

    What stands beside others, `like`, may have one column, and of several that of the same name,
    or of the same number where there are as many.
    """
    count = given.values.shape[1]
    if count == 1 and (output is None or like is not None):
        return given
    if like is None:
        return _taken(given, _column(given, output, word))
    column = _column(like, output, word)
    if given.names is not None and like.names is not None:
        return _taken(given, _column(given, like.names[column], word))
    if count != like.values.shape[1]:
        raise ValueError(
            f"{given.name} has {count} columns, and {like.name} {like.values.shape[1]}: pass the "
            "column that goes with it"
        )
    return _taken(given, column)


def _taken(given: Series, column: int) -> Series:
    names = None if given.names is None else (given.names[column],)
    quantity = given.quantity or ("" if names is None else names[0])
    return given._replace(values=given.values[:, [column]], names=names, quantity=quantity)


def _column(given: Series, output: Any, word: str) -> int:
    """The number of a column."""
    count = given.values.shape[1]
    among = f"one of {list(given.names)}" if given.names else f"0 to {count - 1}"
    if output is None:
        if count == 1:
            return 0
        raise ValueError(f"{given.name} has {count} columns: pass {word}=, {among}")
    if isinstance(output, str):
        if output not in (given.names or ()):
            raise ValueError(f"{given.name} has no column {output!r}: it has {among}")
        return (given.names or ()).index(output)
    column = checks.size(word, output, minimum=0)
    if column >= count:
        raise ValueError(f"{word} must be {among}, the columns of {given.name}, received {output}")
    return column


def column_names(
    names: Any, known: tuple[str, ...] | None, count: int, word: str = "feature"
) -> list[str]:
    """A name for each feature, or unit: those given, those that are known, or its number."""
    if names is None:
        return (
            list(known) if known and len(known) == count else [f"{word} {i}" for i in range(count)]
        )
    given = [names] if isinstance(names, str) else [str(name) for name in names]
    if len(given) != count:
        raise ValueError(f"names must be {count}, one for each {word}, received {len(given)}")
    return given
