"""Where a progress bar is shown, and of which kind."""

import io
import sys
from types import ModuleType, SimpleNamespace

import pytest
from tqdm import tqdm

from numlstm.utils import bars


@pytest.fixture
def kernel(monkeypatch):
    """An IPython that runs in a Jupyter kernel."""
    return pretend(monkeypatch, SimpleNamespace(kernel=object()))


def pretend(monkeypatch, shell):
    module = ModuleType("IPython")
    module.get_ipython = lambda: shell
    monkeypatch.setitem(sys.modules, "IPython", module)


@pytest.fixture
def without_widgets(monkeypatch):
    monkeypatch.setitem(sys.modules, "ipywidgets", None)


class Widget(tqdm):
    """A bar with the parts of tqdm's widgets that are used."""

    def __init__(self, **options):
        self.container, self.styles = object(), []
        super().__init__(**options)

    def display(self, *args, bar_style=None, **options):
        if bar_style:
            self.styles.append(bar_style)


@pytest.fixture
def widgets(monkeypatch):
    """An installed ipywidgets, and tqdm's bar for it."""
    module = ModuleType("tqdm.notebook")
    module.tqdm = Widget
    monkeypatch.setitem(sys.modules, "tqdm.notebook", module)
    installed = ModuleType("ipywidgets")
    installed.FloatProgress = object
    monkeypatch.setitem(sys.modules, "ipywidgets", installed)


def run(bar, epochs):
    bar.update(epochs)
    bars.close(bar)


def test_no_bar_without_a_terminal(capsys):
    assert bars.bar(None, "words", total=3) is None
    assert bars.bar(False, "words", total=3) is None
    assert capsys.readouterr() == ("", "")


def test_a_terminal_has_a_bar_on_standard_error(capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    run(bars.bar(None, "words", total=3), 3)
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "words\n" in shown.err
    assert "3/3" in shown.err


def test_no_standard_error_is_no_terminal(monkeypatch):
    monkeypatch.setattr(sys, "stderr", None)  # as under pythonw
    assert bars.bar(None, total=3) is None


@pytest.mark.usefixtures("kernel", "without_widgets")
def test_a_kernel_without_widgets_has_a_bar_of_text(capsys):
    bar = bars.bar(None, "words", total=3)
    assert type(bar) is tqdm
    run(bar, 3)
    shown = capsys.readouterr()
    assert shown.err == ""
    assert "words\n" in shown.out
    assert "3/3" in shown.out


@pytest.mark.usefixtures("kernel", "widgets")
def test_widgets_that_do_not_work_are_none(monkeypatch):
    monkeypatch.setitem(sys.modules, "ipywidgets", ModuleType("ipywidgets"))
    assert type(bars.bar(True, total=3)) is tqdm


@pytest.mark.parametrize("closed", [None, io.StringIO()])
def test_there_is_no_bar_without_a_stream(monkeypatch, closed, capsys):
    if closed is not None:
        closed.close()
    monkeypatch.setattr(sys, "stderr", closed)
    assert bars.bar(True, "words", total=3) is None
    assert bars.bar(None, "words", total=3) is None
    assert capsys.readouterr().out == ""


@pytest.mark.usefixtures("kernel", "widgets")
def test_a_kernel_with_widgets_has_one_of_tqdms(capsys):
    bar = bars.bar(None, "words", total=3)
    assert type(bar) is Widget
    run(bar, 3)
    assert bar.styles == []  # tqdm's own is right
    assert capsys.readouterr().err == ""


@pytest.mark.usefixtures("kernel", "widgets")
@pytest.mark.parametrize(("failed", "styles"), [(False, ["info"]), (True, [])])
def test_a_widget_that_ends_early_is_red_only_after_a_failure(failed, styles):
    bar = bars.bar(True, total=3)
    bar.update()
    bars.close(bar, failed=failed)
    assert bar.styles == styles


@pytest.mark.usefixtures("kernel")
def test_a_kernel_can_do_without():
    assert bars.bar(False, total=3) is None


@pytest.mark.parametrize("shell", [None, SimpleNamespace()])
def test_other_shells_are_no_kernel(monkeypatch, shell):
    pretend(monkeypatch, shell)
    assert not bars.in_kernel()
    assert bars.bar(None, total=3) is None


def test_an_ipython_that_is_being_imported_is_no_kernel(monkeypatch):
    monkeypatch.setitem(sys.modules, "IPython", ModuleType("IPython"))
    assert not bars.in_kernel()


def test_ipython_is_never_imported(monkeypatch):
    monkeypatch.setitem(sys.modules, "IPython", None)  # an import of it would fail
    assert not bars.in_kernel()
