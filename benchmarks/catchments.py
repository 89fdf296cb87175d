"""The accuracy of `numlstm.fit` beside PyTorch's own loop: `python benchmarks/catchments.py`.

Simulated catchments, two series that statsmodels ships and a data set that aeon ships. Both sides
get the same data and initial parameters and train with Adam, a learning rate of 0.01 and clipping
to norm 1, for as many epochs; each draws the order of its batches itself. PyTorch's loss is the
mean over a batch of each error times its weight; the weights have mean 1 over the training data, so
that clipping means the same. Its second bias stays zero: trained, both would move their sum twice
as fast.

First, three updates with one and the same batch must give equal predictions: what can differ then
is how updates weigh their batches, and chance. After that the sides are compared seed by seed; the
interval is that of the mean difference, of 95 % (Student's t). Nothing is timed.
"""

import argparse
import json
import os
import subprocess
import sys
from datetime import date
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from accuracy_tasks import TASKS, Samples, Task, missing
from peers import cpu_model
from scipy import stats

import numlstm

STORE = Path(__file__).parent / "results" / "catchments.json"


def initial(task: Task, seed: int) -> numlstm.LSTM:
    """The model that both sides begin with."""
    return numlstm.LSTM(task.train.X.shape[2], task.units, task.classes or 1, rng=seed)


def ours(task: Task, seed: int) -> np.ndarray:
    """Predictions for the test data after `numlstm.fit`."""
    train = task.train
    result = numlstm.fit(
        train.X,
        train.y,
        model=initial(task, seed),
        standardize=False,
        output="last" if train.last else "sequence",
        loss="cross_entropy" if task.classes else "mse",
        sample_weight=train.weight,
        lengths=train.lengths,
        nan_policy="omit",
        learning_rate=task.rate,
        batch_size=task.batch,
        epochs=task.epochs,
        progress=False,
        rng=seed,
    )
    return result.model.predict(task.test.X, lengths=task.test.lengths)


def ends(samples: Samples) -> np.ndarray:
    """The last step of every sequence, (B,)."""
    return samples.valid.sum(axis=1) - 1


class Network(torch.nn.Module):
    """A model in PyTorch."""

    def __init__(self, model: numlstm.LSTM, last: bool):
        super().__init__()
        params = {name: torch.tensor(value) for name, value in model.params.items()}
        outputs, hidden = params["head_weight"].shape
        self.last = last
        self.lstm = torch.nn.LSTM(params["weight_ih_l0"].shape[1], hidden, batch_first=True)
        self.head = torch.nn.Linear(hidden, outputs)
        zero = torch.zeros_like(params["bias_l0"])
        self.lstm.load_state_dict(
            {
                "weight_ih_l0": params["weight_ih_l0"],
                "weight_hh_l0": params["weight_hh_l0"],
                "bias_ih_l0": params["bias_l0"],
                "bias_hh_l0": zero,
            }
        )
        self.lstm.bias_hh_l0.requires_grad_(False)
        self.head.load_state_dict({"weight": params["head_weight"], "bias": params["head_bias"]})

    def forward(self, X: torch.Tensor, end: torch.Tensor) -> torch.Tensor:
        """Outputs (B, O), or at every step (B, T, O)."""
        Y = self.lstm(X)[0]
        return self.head(Y[torch.arange(len(Y)), end] if self.last else Y)


def theirs(task: Task, seed: int) -> np.ndarray:
    """The same after a loop of PyTorch's."""
    torch.manual_seed(seed)
    train, test = task.train, task.test
    network, error = Network(initial(task, seed), train.last), errors_of(task)
    X, end, y = map(torch.from_numpy, (train.X, ends(train), np.nan_to_num(train.y)))
    weight = torch.from_numpy(weights(train))
    trained = [each for each in network.parameters() if each.requires_grad]
    optimizer = torch.optim.Adam(trained, lr=task.rate)
    for _ in range(task.epochs):
        for rows in torch.randperm(len(X)).split(task.batch):
            optimizer.zero_grad()
            loss = (weight[rows] * error(network(X[rows], end[rows]), y[rows])).mean()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(trained, 1.0)
            optimizer.step()
    with torch.no_grad():
        return network(torch.from_numpy(test.X), torch.from_numpy(ends(test))).numpy()


def errors_of(task: Task):
    """The loss of every target."""
    if task.classes:
        return torch.nn.CrossEntropyLoss(reduction="none")
    return lambda Y, y: (Y[..., 0] - y) ** 2


def weights(samples: Samples) -> np.ndarray:
    """The weight of every target, 0 where there is none, with mean 1."""
    weight = (~np.isnan(samples.y)).astype(np.float32)
    if samples.weight is not None:
        weight = weight * samples.weight.astype(np.float32)
    return weight / weight.mean()


SIDES = {"numlstm": ours, "torch": theirs}


def run_side(side: str, options: argparse.Namespace) -> None:
    """Train one side on everything; prints a line of JSON per task."""
    torch.set_num_threads(options.threads)
    train = SIDES[side]
    for name in options.only:
        task = TASKS[name]().standardised()
        scores = []
        first = train(task.first_updates(), 0).ravel()[-200:]
        for seed in range(options.seeds):
            scores.append(task.score(train(task, seed)))
            print(f"{side}, {name}, seed {seed}: {scores[-1]:.4f}", file=sys.stderr)
        print(json.dumps({"first": first.tolist(), "scores": scores}), flush=True)


def in_processes(options: argparse.Namespace) -> dict[str, list[dict]]:
    """What both sides print, each in a process of its own."""
    names = "NUMBA", "OMP", "MKL", "OPENBLAS"
    limits = {f"{name}_NUM_THREADS": str(options.threads) for name in names}
    children = {}
    for side in SIDES:
        command = [sys.executable, __file__, "--side", side, "--seeds", str(options.seeds)]
        command += ["--threads", str(options.threads), "--only", *options.only]
        children[side] = subprocess.Popen(
            command, env=os.environ | limits, stdout=subprocess.PIPE, text=True
        )
    printed = {side: child.communicate()[0] for side, child in children.items()}
    if any(child.returncode for child in children.values()):
        raise SystemExit("a side has failed")
    return {side: list(map(json.loads, text.splitlines())) for side, text in printed.items()}


def compared(ours: dict, theirs: dict) -> dict:
    """Scores of both sides, and the interval of the mean difference."""
    first = np.array(ours["first"]), np.array(theirs["first"])
    if not np.allclose(*first, rtol=1e-3, atol=1e-3):
        raise SystemExit(f"the first updates differ by {np.abs(first[0] - first[1]).max():.1e}")
    difference = np.subtract(ours["scores"], theirs["scores"])
    half = stats.t.ppf(0.975, len(difference) - 1) * stats.sem(difference)
    mean = float(difference.mean())
    return {
        "numlstm": ours["scores"],
        "torch": theirs["scores"],
        "medians": [float(np.median(side["scores"])) for side in (ours, theirs)],
        "mean difference": mean,
        "interval": [mean - half, mean + half],
    }


def show(name: str, row: dict) -> None:
    """One line."""
    (ours, theirs), (low, high) = row["medians"], row["interval"]
    verdict = "contains 0" if low <= 0 <= high else "does not contain 0"
    print(f"{name}: numlstm {ours:.3f}, PyTorch {theirs:.3f} (medians over seeds); mean difference")
    print(f"  {row['mean difference']:+.4f}, interval {low:+.4f} to {high:+.4f}, {verdict}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--seeds", type=int, default=16)
    parser.add_argument("--threads", type=int, default=1, help="of each side; both run at once")
    parser.add_argument("--output", type=Path, default=STORE, help="tasks not run stay in it")
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        run_side(options.side, options)
        return
    for name in [name for name in options.only if missing(name)]:
        print(f"without {name}: {missing(name)} is not installed", file=sys.stderr)
        options.only.remove(name)
    results = in_processes(options)
    store = json.loads(options.output.read_text()) if options.output.exists() else {}
    versions = {each: version(each) for each in ("numba", "torch")}
    for name, *sides in zip(options.only, *results.values(), strict=True):
        row = compared(*sides)
        show(name, row)
        store[name] = {"date": date.today().isoformat(), "cpu": cpu_model()} | versions | row
    options.output.write_text(json.dumps(store, indent=1) + "\n")


if __name__ == "__main__":
    main()
