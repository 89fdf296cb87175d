"""Where in labelled data a value is that is refused."""

import contextlib
from collections.abc import Iterator

from numlstm.data.labels.base import Labelled
from numlstm.data.labels.frames import Frame
from numlstm.data.labels.grids import Grid
from numlstm.data.labels.lists import Several
from numlstm.utils.checks import PLACE

_NOTHING_TO_SAY = contextlib.nullcontext()


def named(*given: Labelled) -> contextlib.AbstractContextManager[None]:
    """Say of an error at a place in one of these which series, time and column it is."""
    for one in given:
        if type(one) is not Labelled:  # else it has no labels
            return _naming(*given)
    return _NOTHING_TO_SAY


@contextlib.contextmanager
def _naming(*given: Labelled) -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        name, where = vars(error).get(PLACE, ("", ()))
        places = [_words(one, name, where) for one in given]
        if not any(places):
            raise
        raise ValueError(f"{error}. The first is {next(filter(None, places))}") from None


def _words(given: Labelled, name: str, where: tuple[int, ...]) -> str:
    """What is at an index of an array so called, as labels say it; "" where they do not."""
    number = name.removeprefix(given.name).strip("[]")
    if not name or not name.startswith(given.name) or not (number.isdigit() or name == given.name):
        return ""
    where = (int(number), *where) if number else where
    if isinstance(given, Several) and len(where) > 1:
        return _of_step(given.items[where[0]], where[1:])
    if isinstance(given, Grid) and given.series is not None and len(where) == 3:
        series = f"{given.name}[{given.series.at(where[0])!r}]"
        return _of_step(given, where[1:], series)
    return _of_step(given, where[-2:] if len(where) == 3 else where)  # of a batch of one


def _of_step(given: Labelled, where: tuple[int, ...], name: str = "") -> str:
    """A feature of one series at a time."""
    time = given.time if isinstance(given, Grid) else next(iter(given.axes), None)
    if not isinstance(given, (Frame, Grid)) or time is None or not where[0] < len(time):
        return ""
    column = where[1] if len(where) == 2 else 0
    names = given.features or ()
    what = f"{names[column]!r} of " if column < len(names) else ""
    return f"{what}{name or given.name} at {time.at(where[0])}"
