"""``python -m numlstm``: the sunspot run, its table and its figure."""

import argparse
import io
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from numlstm import plotting
from numlstm.demo import sunspots
from numlstm.plotting.picture import VERMILION, style
from numlstm.utils import replacing

ENSEMBLE = "LSTM ensemble"
FREE_RUN = (1980, 2030)
RECENT = slice(1900 - sunspots.FIRST_YEAR, None)  # what the figure shows
FORMATS = (".png", ".pdf", ".svg")


class Run(NamedTuple):
    """Numbers behind the table and the figure."""

    numbers: np.ndarray  # (T,)
    curves: sunspots.LearningCurves
    forecasts: dict[str, np.ndarray]  # one step ahead, by method, (T,)
    free_runs: dict[str, np.ndarray]  # FREE_RUN, by method
    gates: np.ndarray  # input, forget, output; mean over the networks, (3, T)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run everything; the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m numlstm",
        description="Forecast the yearly sunspot numbers with an ensemble of LSTM networks.",
    )
    parser.add_argument(
        "--output", type=Path, default=Path("sunspots.png"), metavar="PATH", help="figure to write"
    )
    parser.add_argument(
        "--members", type=int, default=sunspots.MEMBERS, help="networks in the ensemble"
    )
    options = parser.parse_args(arguments)
    if options.members < 1:
        parser.error(f"--members must be at least 1, received {options.members}")
    # a figure that cannot be written is better known before the training than after it
    if options.output.suffix not in FORMATS or not os.access(options.output.parent, os.W_OK):
        parser.error(
            f"--output must be a {', '.join(FORMATS)} file in a folder that can be written to, "
            f"received {options.output}"
        )
    try:
        replacing.require_replaceable(str(options.output))
    except OSError as error:
        parser.error(f"--output: {error}")
    try:
        run = compute(options.members)
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        return 130
    print(table(run), end="\n\n")
    try:
        drawing = figure(run)
    except ImportError:
        print('No figure: matplotlib is missing; pip install "numlstm[plot]" brings it.')
        return 0
    buffer = io.BytesIO()
    drawing.savefig(buffer, format=options.output.suffix[1:], dpi=150)
    replacing.replace({str(options.output): buffer.getvalue()})
    print(f"Figure: {options.output}")
    return 0


def compute(members: int = sunspots.MEMBERS) -> Run:
    """Choose the number of epochs, train the ensemble, forecast."""
    numbers = sunspots.load()
    *_, curves = _progress(sunspots.choose_epochs(numbers, members), members, "choosing epochs")
    trained = sunspots.train(numbers, curves.best_epoch, members)
    models = list(_progress(trained, members, "training"))
    methods = {
        ENSEMBLE: sunspots.ensemble(models),
        "AR(9)": sunspots.autoregression(numbers),
        "persistence": sunspots.persistence,
    }
    known = numbers[: FREE_RUN[0] - sunspots.FIRST_YEAR]
    ahead = FREE_RUN[1] - FREE_RUN[0] + 1
    return Run(
        numbers,
        curves,
        {name: method(numbers)[:-1] for name, method in methods.items()},
        {name: sunspots.free_run(method, known, ahead) for name, method in methods.items()},
        np.mean([sunspots.gates(model, numbers) for model in models], axis=0),
    )


def _progress(steps: Any, total: int, what: str) -> Any:
    """A progress bar on a terminal, one plain line elsewhere."""
    from tqdm import tqdm

    if not sys.stderr.isatty():
        print(f"{what}, ensemble of {total}", file=sys.stderr, flush=True)
    return tqdm(steps, desc=what, total=total, unit="network", disable=None)


def table(run: Run) -> str:
    """Scores of all methods in every window, and of the free run."""
    header = f"{'':24}" + "".join(f"{name:>16}" for name in run.forecasts) + "   best"
    lines = [
        "",
        f"Trained on {sunspots.FIRST_YEAR}-{sunspots.LAST_TRAINING_YEAR}: "
        f"{len(run.curves.held_out)} networks, {run.curves.best_epoch} epochs "
        "(chosen on held-out years before 1921)",
        "Average relative variance = MSE / variance of the whole 1700-1979 series; less is better",
        "",
        header,
        "-" * len(header),
    ]
    for window in sunspots.WINDOWS:
        label = f"one year ahead {window[0]}-{window[1]}"
        lines.append(_row(label, run.forecasts, run.numbers, window))
    ends = (FREE_RUN[0], sunspots.FIRST_YEAR + len(run.numbers) - 1)
    start = FREE_RUN[0] - sunspots.FIRST_YEAR
    spliced = {
        name: np.concatenate([run.numbers[:start], ahead])[: len(run.numbers)]
        for name, ahead in run.free_runs.items()
    }
    lines.append(_row(f"free run {ends[0]}-{ends[1]}", spliced, run.numbers, ends))
    return "\n".join(lines)


def _row(
    label: str, forecasts: dict[str, np.ndarray], numbers: np.ndarray, window: tuple[int, int]
) -> str:
    scores = {
        name: sunspots.relative_variance(forecast, numbers, window)
        for name, forecast in forecasts.items()
    }
    best = min(scores, key=lambda name: scores[name])
    return f"{label:24}" + "".join(f"{score:16.3f}" for score in scores.values()) + f"   {best}"


def figure(run: Run) -> Any:
    """Forecast, learning curves and gate activity in three panels; a matplotlib Figure."""
    from matplotlib.figure import Figure  # no pyplot: no window system is asked for

    result = Figure(figsize=(10, 7.2), layout="constrained")
    panels = result.subplot_mosaic([["forecast"] * 2, ["learning", "gates"]])
    _draw_forecast(panels["forecast"], run)
    _draw_learning(panels["learning"], run.curves)
    _draw_gates(panels["gates"], run)
    for name, panel in panels.items():
        panel.spines[["top", "right"]].set_visible(False)
        columns = 1 if name == "learning" else 3
        panel.legend(ncols=columns, loc="upper right", frameon=False, fontsize=9)
    return result


def _draw_forecast(panel: Any, run: Run) -> None:
    first = sunspots.FIRST_YEAR + RECENT.start
    known = {"truth": run.numbers[RECENT], "start": first}
    one_ahead = run.forecasts[ENSEMBLE][RECENT]
    plotting.forecast(one_ahead, **known, ax=panel, label="LSTM, one year ahead")
    free: dict[str, Any] = {"label": "LSTM, free run", "color": VERMILION, "linestyle": "--"}
    plotting.forecast(run.free_runs[ENSEMBLE], start=FREE_RUN[0], ax=panel, **free)
    panel.set_title("(a) Forecasts", loc="left", fontsize=11)
    panel.axvspan(first, sunspots.LAST_TRAINING_YEAR + 0.5, color="0.93", lw=0)
    panel.text(first + 1, 208, "training", color="0.35", fontsize=9)
    for start, end in sunspots.WINDOWS:
        panel.axvline(start - 0.5, color="0.8", lw=0.8, zorder=0)
        panel.text(start + 0.5, 208, f"{start}-{end}", color="0.35", fontsize=9)
    panel.set(xlim=(first, FREE_RUN[1]), ylim=(0, 250), xlabel="year", ylabel="sunspot number")


def _draw_learning(panel: Any, curves: sunspots.LearningCurves) -> None:
    means = {"loss": curves.training.mean(axis=0), "validation_loss": curves.held_out.mean(axis=0)}
    plotting.learning_curve(means, ax=panel)
    panel.set_title("(b) Learning curves, before 1921", loc="left", fontsize=11)
    panel.set(ylabel="mean squared error (standardised)", ylim=(0.05, 2))


def _draw_gates(panel: Any, run: Run) -> None:
    years = sunspots.years(run.numbers)[RECENT]
    panel.set_title("(c) Gates, mean over all units", loc="left", fontsize=11)
    for index, name in enumerate(("input", "forget", "output")):
        panel.plot(years, run.gates[index, RECENT], lw=1.3, label=name, **style(index))
    low, high = run.gates[:, RECENT].min(), run.gates[:, RECENT].max()
    panel.set(
        xlim=(years[0], years[-1]),
        ylim=(low - 0.1 * (high - low), high + 0.25 * (high - low)),
        xlabel="year",
        ylabel="gate activity (0 closed, 1 open)",
    )
    panel.yaxis.set_major_formatter("{x:.2f}")
    panel.locator_params(axis="y", nbins=6)


if __name__ == "__main__":
    sys.exit(main())
