"""What the settings of a fit do to its error on new data: `python benchmarks/choosing.py`.

Three sets of data, each setting varied alone, three seeds each. Writes docs/choosing.png and the
tables of docs/choosing.md, in a few minutes. Nothing is timed; the errors are those of new data,
divided by the variance of their targets, so that 1 is as bad as the mean, and the noise sets the
floor.
"""

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
import numpy as np

import numlstm

matplotlib.use("Agg")
import matplotlib.pyplot as plt

DOCS = Path(__file__).resolve().parent.parent / "docs"
SEEDS = (0, 1, 2)
BASE: dict[str, Any] = {"hidden_size": 16, "epochs": 60}
DOUBLE = {"dtype": "float64", "epochs": 100}  # of the method: iterations


class Task(NamedTuple):
    """Data to learn from and new data, targets with noise in both."""

    name: str
    train: tuple[np.ndarray, np.ndarray]
    new: tuple[np.ndarray, np.ndarray]
    floor: float
    fixed: dict[str, Any]


def series() -> Task:
    """One series: a reservoir, which rain fills and which runs out faster where it is warm."""
    rng = np.random.default_rng(0)
    X, level, clean = rng.standard_normal((3500, 2)), 1.0, np.zeros(3500)
    for t in range(3500):
        level = (0.92 if X[t, 1] > 0 else 0.98) * level + 0.2 * max(X[t, 0], 0.0)
        clean[t] = np.sqrt(level)
    y = clean + 0.03 * rng.standard_normal(3500)
    parts = (X[:1500], y[:1500]), (X[1500:], y[1500:])
    return Task("series", *parts, 0.03**2 / y[1500:].var(), {"bptt_steps": 50})


def sequences(name: str, count: int, **fixed: Any) -> Task:
    """Sequences of 60 steps, one number each: a leaky sum of what the second input lets in."""
    rng = np.random.default_rng(1)
    X = rng.standard_normal((1000 + count, 60, 2))
    clean = (X[..., 0] * (X[..., 1] > 0)) @ 0.9 ** np.arange(60)[::-1]
    y = clean + 0.2 * rng.standard_normal(1000 + count)
    parts = (X[1000:], y[1000:]), (X[:1000], y[:1000])
    return Task(name, *parts, 0.2**2 / y[:1000].var(), fixed)


def in_kelvin(task: Task) -> Task:
    """The same with inputs in other units, about 300 and with a deviation of 10."""
    X, y = task.train
    new, truth = task.new
    name = f"{task.name} in kelvin"
    return task._replace(name=name, train=(300 + 10 * X, y), new=(300 + 10 * new, truth))


SMALL = series(), sequences("sequences", 400)
TASKS = *SMALL, sequences("many sequences", 4000, epochs=20), in_kelvin(SMALL[1])
GRID: dict[str, tuple[Any, ...]] = {  # the values of a keyword, or names of several keywords
    "hidden_size": (2, 4, 8, 16, 32, 64),
    "num_layers": (1, 2, 3),
    "bptt_steps": (5, 10, 25, 50, 150, 500),
    "batch_size": (4, 16, 32, 100, 400),
    "learning_rate": (1e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1),
    "weight_decay": (0.0, 1e-4, 1e-3, 1e-2, 1e-1),
    "dropout": (None, {"inputs": 0.1}, {"states": 0.1}, {"states": 0.3}, {"zoneout_c": 0.1}),
    "method": ("adam", "rmsprop", "sgd", "L-BFGS-B"),
    "standardize": (True, False),
}
ONLY = {  # of the tasks, by their place
    "hidden_size": [0, 1, 2],
    "bptt_steps": [0],
    "batch_size": [1],
    "standardize": [0, 1, 3],
}
OF_METHOD = {"sgd": {"learning_rate": 0.3}, "L-BFGS-B": DOUBLE}


def error(task: Task, result: numlstm.FitResult) -> float:
    """Mean squared error on new data over their variance."""
    X, y = task.new
    predicted = result.model.predict(X)[..., 0]
    return float(np.mean((predicted - y) ** 2) / y.var())


def fitted(task: Task, seed: int, **options: Any) -> numlstm.FitResult:
    X, y = task.train
    return numlstm.fit(X, y, rng=seed, **(BASE | task.fixed | options))


def options_of(keyword: str, value: Any) -> dict[str, Any]:
    """The keywords of a row."""
    if keyword == "method":
        return {"method": value} | OF_METHOD.get(value, {})
    return {keyword: value}


def measure() -> Iterator[tuple[str, str, Any, list[float]]]:
    """(keyword, task, value, an error per seed) of the grid."""
    for keyword, values in GRID.items():
        for task in (TASKS[k] for k in ONLY.get(keyword, [0, 1])):
            for value in values:
                options = options_of(keyword, value)
                errors = [error(task, fitted(task, seed, **options)) for seed in SEEDS]
                print(f"{keyword:14s} {task.name:14s} {value!s:20s} {np.sort(errors).round(3)}")
                yield keyword, task.name, value, errors


def curves(task: Task, epochs: int = 300) -> dict[str, np.ndarray]:
    """Training and validation loss by the epoch."""
    X, y = task.train
    options = BASE | task.fixed | {"epochs": epochs}
    return numlstm.fit(X, y, validation=0.2, rng=0, **options).history


def patience(task: Task) -> tuple[float, float, int]:
    """Errors with all of 300 epochs, and with the best epoch by validation, and when it stopped."""
    everything = fitted(task, 0, epochs=300)
    stopped = fitted(task, 0, epochs=300, validation=0.2, patience=30)
    return error(task, everything), error(task, stopped), stopped.nit


def cell(errors: list[float]) -> str:
    """Median, and the range in brackets."""
    low, middle, high = np.sort(errors)
    return f"{middle:.3f} ({low:.3f}-{high:.3f})"


def written(value: Any) -> str:
    if isinstance(value, (dict, str)):
        return f"`{value}`"
    return str(value) if value is None or isinstance(value, bool) else f"{value:g}"


def table(rows: dict[tuple[str, str], dict[str, list[float]]], keyword: str) -> str:
    """One keyword: a row per value, a column per task."""
    names = [task.name for task in TASKS if (keyword, task.name) in rows]
    lines = [f"| `{keyword}` | {' | '.join(names)} |", "|---" * (1 + len(names)) + "|"]
    for value in rows[keyword, names[0]]:
        cells = [cell(rows[keyword, name][value]) for name in names]
        lines.append(f"| {value} | {' | '.join(cells)} |")
    return "\n".join(lines)


STYLE = {
    "series": ("tab:blue", "o"),
    "sequences": ("tab:orange", "s"),
    "many sequences": ("tab:green", "^"),
}
LABELS = {
    "hidden_size": "hidden_size, units",
    "bptt_steps": "bptt_steps, steps",
    "batch_size": "batch_size, sequences",
    "learning_rate": "learning_rate",
    "weight_decay": "weight_decay",
}


def panel(axes: Any, rows: dict[tuple[str, str], dict[str, list[float]]], keyword: str) -> None:
    for task in TASKS:
        if (keyword, task.name) not in rows:
            continue
        by_value, (color, marker) = rows[keyword, task.name], STYLE[task.name]
        places = np.arange(len(by_value))
        low, middle, high = np.sort(list(by_value.values())).T
        axes.plot(places, middle, color=color, marker=marker, label=task.name)
        axes.fill_between(places, low, high, color=color, alpha=0.2, lw=0)
        axes.axhline(task.floor, color=color, ls=":", lw=1)
        axes.set_xticks(places, list(by_value))
    axes.set(yscale="log", xlabel=LABELS[keyword], ylim=(0.008, 1.2))
    axes.grid(alpha=0.3)


def draw(rows: dict[tuple[str, str], dict[str, list[float]]]) -> None:
    """Six panels."""
    figure, axes = plt.subplots(2, 3, figsize=(11, 6.4), layout="constrained", sharey=True)
    for place, keyword in zip(axes.flat, LABELS, strict=False):
        panel(place, rows, keyword)
    last = axes.flat[-1]
    for task in SMALL:
        history, (color, _) = curves(task), STYLE[task.name]
        for name, look in (("loss", {"ls": "--"}), ("validation_loss", {})):
            label = f"{task.name}, {'validation' if name != 'loss' else 'training'}"
            last.plot(history[name], color=color, lw=1, label=label, **look)
    last.set(xlabel="epoch")
    last.grid(alpha=0.3)
    last.legend(fontsize=8, loc="upper right", ncols=2)
    axes[0, 0].legend(title="dotted: the noise", fontsize=8)
    figure.supylabel("mean squared error / variance")
    for place in axes[:, 0]:
        place.set_yticks([0.01, 0.03, 0.1, 0.3, 1.0], ["0.01", "0.03", "0.1", "0.3", "1"])
    figure.savefig(DOCS / "choosing.png", dpi=110)


def main() -> None:
    rows: dict[tuple[str, str], dict[str, list[float]]] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for keyword, task, value, errors in measure():
            rows.setdefault((keyword, task), {})[written(value)] = errors
        stops = {task.name: patience(task) for task in SMALL}
    print({task.name: round(task.floor, 4) for task in TASKS}, stops)
    draw(rows)
    tables = {keyword: table(rows, keyword) for keyword in GRID}
    fill(DOCS / "choosing.md", tables | {"patience": table_of_patience(stops)})


def table_of_patience(stops: dict[str, tuple[float, float, int]]) -> str:
    lines = [
        "| data | all 300 epochs | the best epoch, `patience=30` | stopped after |",
        "|---|---|---|---|",
    ]
    for name, (everything, best, epochs) in stops.items():
        lines.append(f"| {name} | {everything:.3f} | {best:.3f} | {epochs} epochs |")
    return "\n".join(lines)


def fill(page: Path, tables: dict[str, str]) -> None:
    """Write the tables between their marks."""
    text = page.read_text()
    for name, content in tables.items():
        begin, end = f"<!-- measured: {name} -->\n", "<!-- end of measured -->"
        before, found, rest = text.partition(begin)
        assert found, name
        text = before + begin + "\n" + content + "\n\n" + end + rest.partition(end)[2]
    page.write_text(text)


if __name__ == "__main__":
    main()
