"""Progress bars of tqdm's: on a terminal as text, in a notebook as a widget."""

import contextlib
import sys
from typing import Any


def bar(asked: bool | None, words: str = "", **options: Any) -> Any:
    """A bar with these options of tqdm's, below a line of words; None where none is shown.

    It is shown as asked for; None: on a terminal and in notebooks.
    """
    # in a notebook standard error has the colours of an error
    file = sys.stdout if in_kernel() else sys.stderr
    if not _shown(asked, file):  # not made to be disabled: its lock is a semaphore of the system
        return None
    kind = _kind()
    if words:
        kind.write(words, file=file)
    return kind(file=file, **options)


def close(bar: Any, *, failed: bool = False) -> None:
    """Leave a bar as it is; a widget before its end turns red only where something failed."""
    bar.close()
    if not failed and hasattr(bar, "container") and bar.n < bar.total:
        bar.display(bar_style="info", check_delay=False)


def in_kernel() -> bool:
    """Whether this process is a Jupyter kernel; IPython is asked only where it is loaded."""
    get_shell = getattr(sys.modules.get("IPython"), "get_ipython", None)
    return get_shell is not None and getattr(get_shell(), "kernel", None) is not None


def _shown(asked: bool | None, file: Any) -> bool:
    if file is None or getattr(file, "closed", False):  # as under pythonw
        return False
    if asked is None:
        return in_kernel() or (hasattr(file, "isatty") and file.isatty())
    return asked


def _kind() -> Any:
    """The class of a bar: of widgets in a notebook where ipywidgets works, else of text."""
    if in_kernel():
        with contextlib.suppress(Exception):  # of any kind, where versions do not fit each other
            from ipywidgets import FloatProgress  # noqa: F401
            from tqdm import notebook  # tqdm.auto would warn where ipywidgets lacks

            return notebook.tqdm
    from tqdm import tqdm

    return tqdm
