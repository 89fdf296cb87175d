"""Whether a change of the package changed a number: `python benchmarks/bits.py`.

Runs many small fits, and everything else that computes, on the backend "cpu" and compares hashes of
what comes out with those in results/bits.json: a table of what is equal and what is not, and exit
status 1 where anything is not. `--store` writes the hashes anew, `--only WORD` takes the cases with
WORD in their name.

The bits do not depend on the number of threads, but BLAS has one here: with two it gives SciPy's
methods other last bits. Those methods, the covariance, the transitions of stacked layers and the
losses with exp and log use what NumPy and SciPy have for the processor at hand, and may differ
between processors and versions. It needs scikit-learn.
"""

import argparse
import hashlib
import json
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numba
import numpy as np
from scipy.optimize import LinearConstraint
from threadpoolctl import threadpool_limits

import numlstm

STORE = Path(__file__).parent / "results" / "bits.json"
LIBRARIES = ("numpy", "scipy", "numba", "scikit-learn")
DTYPES = ("float32", "float64")

# --- data -----------------------------------------------------------------------------------------


def uniform(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-2, 2, shape)


def gappy(array: np.ndarray) -> np.ndarray:
    return np.where(np.random.default_rng(1).random(array.shape) < 0.2, np.nan, array)


def remembered(X: np.ndarray) -> np.ndarray:
    """Targets (B, T, 1) that depend on the last two inputs."""
    y = X[..., :1].copy()
    y[:, 1:] += 0.5 * X[:, :-1, :1]
    return y


X = uniform(0, 12, 9, 2)
Y = remembered(X)
LONG = uniform(2, 18, 21, 3)
SERIES = np.sin(np.arange(120) / 4) + 0.05 * uniform(3, 120)
LENGTHS = np.array([9, 1, 4, 8, 3, 9, 2, 7, 5, 6, 9, 1])
RESET = np.random.default_rng(4).random((12, 9)) < 0.2
WEIGHT = np.random.default_rng(5).random((12, 9))
RAGGED = [x[:n] for x, n in zip(X, LENGTHS, strict=True)]

DATA: dict[str, tuple[Any, Any]] = {
    "steps": (X, Y),
    "ends": (X, X.sum(axis=1)),
    "forecast": (X, None),
    "long": (LONG, remembered(LONG)),
    "one": (X[:1], Y[:1]),
    "two": (LONG[:2], remembered(LONG[:2])),
    "series": (SERIES, None),
    "ragged": (RAGGED, [y[:n] for y, n in zip(Y, LENGTHS, strict=True)]),
    "ragged ends": (RAGGED, X[:, 0]),
    "classes": (X, (X[..., 0] > 0).astype(int) + (X[..., 1] > 1)),
    "class": (X, (X[:, -1, 0] > 0).astype(int)),
    "binary": (X, (Y > 0).astype(float)),
    "gappy inputs": (gappy(X), Y),
    "gappy targets": (X, gappy(Y)),
}

# --- fits -----------------------------------------------------------------------------------------

COMMON = {"hidden_size": 5, "epochs": 3, "batch_size": 5, "rng": 0, "progress": False}

VARIANTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "stack": {"num_layers": 3},
    "coupled": {"cell": {"forget_gate": "coupled"}},
    "no forget gate": {"cell": {"forget_gate": "none"}},
    "peephole": {"cell": {"peephole": True}},
    "layer norm": {"cell": {"layer_norm": True}},
    "activation clip": {"cell": {"activation_clip": 0.5}},
    "cell clip": {"cell": {"cell_clip": 0.1}},
    "activations 1": {"cell": {"activations": ("hard_sigmoid", ("elu", 0.5), "softsign")}},
    "activations 2": {
        "cell": {"activations": (("affine", 0.3, 0.1), ("scaled_tanh", 1.5, 0.7), "softplus")}
    },
    "activations 3": {
        "cell": {"activations": ("sigmoid", ("leaky_relu", 0.1), ("thresholded_relu", 0.3))}
    },
    "activations 4": {"cell": {"activations": ("sigmoid", "relu", "tanh")}},
    "projection": {"proj_size": 3},
    "bidirectional": {"bidirectional": True, "num_layers": 2},
    "residual": {"residual": True, "num_layers": 3},
    "learned state": {"learned_state": True},
    "forget bias": {"init": {"forget_bias": 2.0}},
    "dropout layers": {"dropout": 0.3, "num_layers": 2},
    "dropout inputs": {"dropout": {"inputs": 0.3}},
    "dropout states": {"dropout": {"states": 0.3}},
    "dropout recurrent": {"dropout": {"recurrent": 0.3}},
    "dropout weights": {"dropout": {"weights": 0.3}},
    "zoneout": {"dropout": {"zoneout_h": 0.2, "zoneout_c": 0.3}},
    "many at once": {
        "num_layers": 2,
        "residual": True,
        "learned_state": True,
        "proj_size": 3,
        "cell": {
            "forget_gate": "coupled",
            "peephole": True,
            "layer_norm": True,
            "activation_clip": 2.0,
            "cell_clip": 0.5,
            "activations": (("hard_sigmoid", 0.3, 0.4), "softsign", "tanh"),
        },
        "dropout": {"layers": 0.2, "states": 0.1, "weights": 0.1, "zoneout_c": 0.1},
    },
    **{f"{units} units": {"hidden_size": units, "data": "long"} for units in (1, 7, 33, 65)},
    "33 units, peephole": {"hidden_size": 33, "cell": {"peephole": True}, "data": "long"},
    "33 units, layer norm": {"hidden_size": 33, "cell": {"layer_norm": True}, "data": "long"},
    "160 units, shared by units": {"hidden_size": 160, "data": "two"},
    "one sequence": {"data": "one"},
}

SCIPY: dict[str, dict[str, Any]] = {
    **{
        method: {"method": method}
        for method in ("CG", "BFGS", "Newton-CG", "trust-ncg", "trust-krylov", "L-BFGS-B", "TNC")
    },
    "SLSQP": {"method": "SLSQP", "hidden_size": 3},
    "trust-constr": {"method": "trust-constr", "hidden_size": 3},
    "least_squares trf": {"method": "least_squares", "options": {"method": "trf"}},
    "least_squares dogbox": {"method": "least_squares", "options": {"method": "dogbox"}},
    "least_squares lm": {
        "method": "least_squares",
        "hidden_size": 2,
        "options": {"method": "lm"},
    },
    "least_squares lsmr": {"method": "least_squares", "options": {"tr_solver": "lsmr"}},
    "L-BFGS-B with limits": {
        "method": "L-BFGS-B",
        "limits": {"fixed": "head_bias", "bounds": {"weight_hh_l0": (-0.3, 0.3)}},
        "weight_decay": 0.01,
    },
    "L-BFGS-B, windows": {"method": "L-BFGS-B", "bptt_steps": 4},
    "Newton-CG, a variant": {"method": "Newton-CG", "cell": {"peephole": True, "layer_norm": True}},
    "SLSQP with a constraint": {
        "method": "SLSQP",
        "hidden_size": 2,
        "limits": {"constraints": LinearConstraint(np.ones((1, 43)), -3, 3)},
    },
}

FITS: dict[str, dict[str, Any]] = {
    **{f"{name}, {t}": {"dtype": t} | case for name, case in VARIANTS.items() for t in DTYPES},
    **{name: {"dtype": "float64", "epochs": 4} | case for name, case in SCIPY.items()},
    "chrono": {"init": {"chrono": 20}},
    "mae": {"loss": "mae"},
    "huber": {"loss": "huber"},
    "cross entropy per step": {"loss": "cross_entropy", "data": "classes"},
    "cross entropy per sequence": {"loss": "cross_entropy", "data": "class"},
    "binary cross entropy": {"loss": "binary_cross_entropy", "data": "binary"},
    "gaussian nll": {"loss": "gaussian_nll"},
    "adam": {"options": {"betas": (0.8, 0.95), "eps": 1e-6}},
    "adamw": {"method": "adamw", "weight_decay": 0.05},
    "sgd": {"method": "sgd", "learning_rate": 0.1},
    "sgd, momentum": {"method": "sgd", "options": {"momentum": 0.9}},
    "sgd, nesterov": {"method": "sgd", "options": {"momentum": 0.9, "nesterov": True}},
    "rmsprop": {"method": "rmsprop", "options": {"momentum": 0.5, "alpha": 0.9}},
    "weight decay": {"weight_decay": 0.05},
    "short clip": {"clip": 0.05},
    "no clip": {"clip": None},
    "cosine": {"schedule": "cosine"},
    "step": {"schedule": "step"},
    "a schedule": {"schedule": lambda epoch: 1 / (1 + epoch)},
    "fixed": {"limits": {"fixed": ("head_bias", "weight_ih_l0")}},
    "bounds": {"limits": {"bounds": {"weight_hh_l0": (-0.3, 0.3), "bias_l0": (0, None)}}},
    "validation": {"validation": 0.25, "patience": 2, "learning_rate": 0.3, "epochs": 9},
    "validation, a pair": {"validation": (LONG[:4, :, :2], remembered(LONG[:4])), "tol": 0.5},
    "validation of a series": {"data": "series", "validation": 0.2, "bptt_steps": 10},
    "as it is": {"standardize": False},
    "per sequence": {"data": "ends"},
    "forecast": {"data": "forecast"},
    "a series": {"data": "series", "bptt_steps": 20},
    "ragged": {"data": "ragged"},
    "ragged, per sequence": {"data": "ragged ends"},
    "ragged, bidirectional": {"data": "ragged", "bidirectional": True},
    "ragged, variant": {"data": "ragged", "cell": {"peephole": True}, "learned_state": True},
    "ragged, windows": {"data": "ragged", "bptt_steps": 3},
    "lengths": {"lengths": LENGTHS},
    "resets": {"reset": RESET},
    "resets, learned state": {"reset": RESET, "learned_state": True},
    "resets, bidirectional": {"reset": RESET, "bidirectional": True},
    "lengths and resets": {"lengths": LENGTHS, "reset": RESET},
    "weights of steps": {"sample_weight": WEIGHT},
    "weights of sequences": {"sample_weight": WEIGHT[:, 0]},
    "missing targets": {"data": "gappy targets", "nan_policy": "omit"},
    "missing inputs": {"data": "gappy inputs", "missing": "mask"},
    "missing inputs, resets": {"data": "gappy inputs", "missing": "mask", "reset": RESET},
    "windows": {"bptt_steps": 4},
    "windows, stack": {"bptt_steps": 4, "num_layers": 2, "dropout": 0.2},
    "windows, float64": {"bptt_steps": 4, "dtype": "float64"},
    "stateful": {"data": "series", "stateful": True, "bptt_steps": 10, "batch_size": 4},
    "stateful, rows": {"stateful": True, "bptt_steps": 3},
    "scheduled sampling": {"data": "forecast", "scheduled_sampling": 0.8},
    "scheduled sampling, float64": {
        "data": "forecast",
        "scheduled_sampling": lambda epoch: 1.0,
        "dtype": "float64",
    },
    "scheduled sampling, variant": {
        "data": "forecast",
        "scheduled_sampling": 0.8,
        "cell": {"peephole": True},
        "num_layers": 2,
    },
}


def fit(data: str = "steps", **options: Any) -> Any:
    return numlstm.fit(*DATA[data], backend="cpu", **COMMON | options)


def fitted(data: str = "steps", **options: Any) -> dict[str, Any]:
    """Everything that a fit computes, and predictions."""
    result = fit(data, **options)
    rows = {name: options[name] for name in ("lengths", "reset") if name in options}
    found = {"theta": result.x, "fun": result.fun, "nfev": result.nfev}
    found |= {f"history {name}": values for name, values in result.history.items()}
    found |= {"prediction": result.model.predict(DATA[data][0], **rows)}
    if "dropout" in options:
        found |= {"noisy": result.model.predict(DATA[data][0], noise_rng=1)}
    return found


# --- what a model computes ------------------------------------------------------------------------

MODELS: dict[str, dict[str, Any]] = {
    "plain": {"hidden_size": 7},
    "stack": {"hidden_size": 6, "num_layers": 2},
    "larger": {"hidden_size": 40},
    "variant": {"hidden_size": 6}
    | {k: v for k, v in VARIANTS["many at once"].items() if k != "dropout"},
    "bidirectional": {"hidden_size": 5, "bidirectional": True, "num_layers": 2},
}
ROWS: dict[str, Any] = {"lengths": LENGTHS, "reset": RESET}


def model_of(name: str, dtype: str) -> Any:
    """A model that forecasts its own first input, every parameter drawn."""
    model = numlstm.LSTM(2, output_size=1, dtype=dtype, backend="cpu", **MODELS[name])
    model.theta = uniform(6, model.theta.size) / 2
    return model


def vjp(model: Any) -> dict[str, Any]:
    out, pullback = model.vjp(X, **ROWS)
    return {"Y": out} | pullback(out)._asdict()


def jvp(model: Any) -> dict[str, Any]:
    values, tangents = model.jvp(X, X[::-1], dtheta=uniform(7, model.theta.size), **ROWS)
    return {"values": values, "tangents": tangents}


def jacobian(model: Any) -> dict[str, Any]:
    pairs = [(of, wrt) for of in ("y", "state") for wrt in ("X", "state", "theta")]
    return {f"{of} by {wrt}": model.jacobian(X[:3], of, wrt) for of, wrt in pairs}


def transitions(model: Any) -> dict[str, Any]:
    return {"J": model.transitions(X[:3])}


def steps(model: Any) -> dict[str, Any]:
    """Step by step, one row and many."""
    found: dict[str, Any] = {}
    for name, rows in (("one", X[0]), ("many", np.swapaxes(X, 0, 1))):
        state, outputs = None, []
        for x in rows:
            y, state = model.step(x, state)
            outputs.append(y)
        found |= {f"{name}, y": outputs, f"{name}, state": state}
    return found


@numba.njit
def stepped(stepper, rows, h, c, y):
    total = np.zeros_like(y)
    for t in range(len(rows)):
        stepper.step(rows[t], h, c, y)
        total += y
    return total


@numba.njit
def pulled(stepper, x, h, c, dy, dh, dc, dx, dtheta):
    stepper.step_vjp(x, h, c, dy, dh, dc, dx, dtheta)


def njit(model: Any) -> dict[str, Any]:
    """The step in compiled code, and its derivative."""
    stepper, dtype = model.njit(derivatives=True), model.theta.dtype
    h, c = stepper.initial_state()
    total = stepped(stepper, X[0].astype(dtype), h, c, np.zeros(1, dtype))
    dh, dc, dx = np.ones_like(h), np.ones_like(c), np.zeros(2, dtype)
    dtheta = np.zeros_like(model.theta)
    pulled(stepper, X[1, 0].astype(dtype), h, c, np.ones(1, dtype), dh, dc, dx, dtheta)
    return {"y": total, "h": h, "c": c, "dh": dh, "dc": dc, "dx": dx, "dtheta": dtheta}


def rollout(model: Any) -> dict[str, Any]:
    exogenous = uniform(8, 12, 6, 1)
    forecast, pullback = model.rollout_vjp(X, 6, exogenous)
    return {"Y": model.rollout(X, 6, exogenous), "gradients": pullback(forecast)}


def objective(model: Any) -> dict[str, Any]:
    """Loss, residuals and their derivatives."""
    fun = numlstm.objective(model, X, Y, weight_decay=0.01, **ROWS)
    theta, v = model.theta, uniform(9, model.theta.size)
    u = fun.residuals(theta)
    return {
        "value": fun.value(theta),
        "gradient": fun.gradient(theta),
        "hessp": fun.hessp(theta, v),
        "residuals": u,
        "jvp": fun.jvp(theta, v),
        "vjp": fun.vjp(theta, u),
    }


FORWARD_ONLY = (transitions, steps, njit, rollout)
QUESTIONS: tuple[Callable[[Any], dict], ...] = (vjp, jvp, jacobian, objective, *FORWARD_ONLY)


def asked(question: Callable, model: str, dtype: str) -> dict[str, Any]:
    return question(model_of(model, dtype))


# --- other ways to train --------------------------------------------------------------------------

OBJECTIVES = {
    "mae": "steps",
    "huber": "steps",
    "cross_entropy": "classes",
    "binary_cross_entropy": "binary",
    "gaussian_nll": "steps",
}


def curved(loss: str) -> dict[str, Any]:
    """Value, gradient and a Hessian-vector product of a loss."""
    model = numlstm.LSTM(2, 5, {"cross_entropy": 3, "gaussian_nll": 2}.get(loss, 1),
                         dtype="float64", rng=0, backend="cpu")  # fmt: skip
    fun = numlstm.objective(model, *DATA[OBJECTIVES[loss]], loss=loss)
    value, gradient = fun(model.theta)
    product = fun.hessp(model.theta, uniform(9, model.theta.size))
    return {"value": value, "gradient": gradient, "hessp": product}


def warm_start(dtype: str) -> dict[str, Any]:
    given = fit(dtype=dtype, cell={"peephole": True}, hidden_size=4).model
    options = COMMON | {"model": given, "hidden_size": 4, "dtype": dtype, "rng": 1}
    return {"theta": numlstm.fit(X, Y, **options).x}


def covariance() -> dict[str, Any]:
    options = {"hidden_size": 2, "weight_decay": 0.01, "dtype": "float64"}
    found = fit(method="L-BFGS-B", **options).covariance(X, Y, weight_decay=0.01)
    return {"factor": found.factor, "bands": tuple(found.predict(X))}


def ensemble(data: str = "steps", **options: Any) -> dict[str, Any]:
    given = {k: v for k, v in COMMON.items() if k != "progress"} | options
    many = numlstm.ensemble(*DATA[data], members=5, backend="cpu", **given)
    found: dict[str, Any] = {f"member {i}": model.theta for i, model in enumerate(many.models)}
    return found | {"loss": many.history["loss"], "predictions": many.predict(DATA[data][0])}


ENSEMBLES: dict[str, dict[str, Any]] = {
    "plain": {},
    "float64": {"dtype": "float64", "num_layers": 2},
    "ragged": {"data": "ragged", "bootstrap": False},
    "per sequence": {"data": "ends", "schedule": "cosine", "weight_decay": 0.01},
    "33 units": {"data": "long", "hidden_size": 33},
    "variant, in turn": {"cell": {"peephole": True}, "method": "sgd"},
}


def regressor() -> dict[str, Any]:
    options = {"cell": {"peephole": True}, "epochs": 3, "backend": "cpu", "random_state": 0}
    fitted = numlstm.LSTMRegressor(5, **options).fit(*DATA["ends"])
    return {"theta": fitted.model_.theta, "prediction": fitted.predict(X)}


def classifier() -> dict[str, Any]:
    options = {"epochs": 3, "backend": "cpu", "random_state": 0}
    fitted = numlstm.LSTMClassifier(5, **options).fit(*DATA["class"])
    return {"theta": fitted.model_.theta, "probability": fitted.predict_proba(X)}


# --- hashes ---------------------------------------------------------------------------------------


def cases() -> Iterator[tuple[str, Callable[..., dict], tuple, dict[str, Any]]]:
    """(name, function, its arguments)."""
    for name, options in FITS.items():
        yield f"fit: {name}", fitted, (), options
    for model in MODELS:
        for question in QUESTIONS:
            if model == "bidirectional" and question in FORWARD_ONLY:
                continue
            for dtype in DTYPES:
                yield f"{question.__name__}: {model}, {dtype}", asked, (question, model, dtype), {}
    for loss in OBJECTIVES:
        yield f"objective: {loss}", curved, (loss,), {}
    for name, options in ENSEMBLES.items():
        yield f"ensemble: {name}", ensemble, (), options
    for dtype in DTYPES:
        yield f"warm start, {dtype}", warm_start, (dtype,), {}
    for function in (covariance, regressor, classifier):
        yield function.__name__, function, (), {}


def flat(value: Any) -> Iterator[np.ndarray]:
    """The arrays in a value, through lists and tuples."""
    if isinstance(value, (list, tuple)):
        for part in value:
            yield from flat(part)
    else:
        yield np.ascontiguousarray(value)


def digest(value: Any) -> str:
    """The first digits of a SHA-256 over dtype, shape and bytes of arrays."""
    sha = hashlib.sha256()
    for array in flat(value):
        assert array.dtype != object
        sha.update(repr((array.dtype.str, array.shape)).encode())
        sha.update(array.data)
    return sha.hexdigest()[:16]


def run(only: str) -> dict[str, dict[str, str]]:
    """Case -> what it computes -> hash."""
    warnings.simplefilter("ignore")  # of methods that do not converge in so few iterations
    found = {}
    for name, function, arguments, options in cases():
        if only in name:
            with threadpool_limits(1, user_api="blas"):
                computed = function(*arguments, **options)
            found[name] = {key: digest(value) for key, value in computed.items()}
    return found


def compare(found: Mapping[str, dict[str, str]], stored: Mapping[str, dict[str, str]]) -> bool:
    """Print the table; whether everything is equal."""
    verdicts = {}
    for name in {**stored, **found}:
        old, new = stored.get(name), found.get(name)
        if old is None or new is None:
            verdicts[name] = "not stored" if old is None else "not run"
            continue
        keys = [key for key in {**old, **new} if old.get(key) != new.get(key)]
        verdicts[name] = f"different: {', '.join(keys)}" if keys else "equal"
    for name, verdict in verdicts.items():
        print(f"{name:44}{verdict}")
    equal = sum(verdict == "equal" for verdict in verdicts.values())
    print(f"{equal} of {len(verdicts)} equal")
    return equal == len(verdicts)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--store", action="store_true", help="write the hashes")
    parser.add_argument("--only", default="", metavar="WORD", help="cases with WORD in their name")
    options = parser.parse_args()
    if options.store and options.only:
        parser.error("--store takes all cases: leave --only out")
    versions, found = {name: version(name) for name in LIBRARIES}, run(options.only)
    if options.store:
        STORE.write_text(json.dumps({"versions": versions, "bits": found}, indent=1) + "\n")
        return 0
    stored = json.loads(STORE.read_text())
    equal = compare(found, {k: v for k, v in stored["bits"].items() if options.only in k})
    if stored["versions"] != versions:
        print(f"Stored with {stored['versions']}, compared with {versions}.")
    return 0 if equal else 1


if __name__ == "__main__":
    sys.exit(main())
