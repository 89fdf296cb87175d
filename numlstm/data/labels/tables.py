"""Tables of any library that narwhals knows: which of them are frames, and which panels."""

from typing import Any

from numlstm.data.labels import remedies
from numlstm.data.labels.base import Labelled
from numlstm.data.labels.frames import Frame
from numlstm.data.labels.panels import Panel, panel_of


def read(name: str, native: Any, wanted: tuple[str, ...] | None, like: Labelled | None) -> Labelled:
    """A frame or series with its labels; anything else has none.

    `like` are the inputs that it stands beside, if it is none.
    """
    import narwhals as nw  # on first use: `import numlstm` and arrays do without it
    from narwhals.exceptions import DuplicateError

    try:
        table = nw.from_native(native, allow_series=True, pass_through=True)
        if table is native and hasattr(native, "column_names"):  # a record batch
            table = nw.from_arrow(native, backend="pyarrow")
    except DuplicateError:
        raise ValueError(f"{name} has several columns of the same name: rename them") from None
    if isinstance(table, nw.LazyFrame):
        raise TypeError(f"{name} is a lazy frame, which has no values yet: pass {name}.collect()")
    if not isinstance(table, (nw.DataFrame, nw.Series)):
        return Labelled(name, native)
    if not table.implementation.is_pandas_like():
        return Frame(name, table, None, wanted)
    if getattr(getattr(native, "columns", None), "nlevels", 1) > 1:
        raise TypeError(
            f"{name} has columns in {native.columns.nlevels} levels, "
            f"{remedies.of_levels(name, native)}"
        )
    if isinstance(like, Panel):
        native = like.with_levels(native)
        if native.index.nlevels == like.index.nlevels - 1:
            return like.row_for_each(Frame(name, table, native.index, wanted))
    if native.index.nlevels > 1:
        return panel_of(name, native, wanted)
    return Frame(name, table, native.index, wanted)
