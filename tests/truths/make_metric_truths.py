"""Make metric_truths.npz: measures by HydroEval and scikit-learn.

Needs both packages; the tests do not. Run it: python tests/truths/make_metric_truths.py

"true.name" and "pred.name" are truths, NaN where there is none, and predictions: (N,), or (N, O)
of several outputs. "name.measure" is the value of a measure, "name.measure.weighted" that with the
weights "weight.name". HydroEval leaves out NaN itself; it knows one series at a time.
"""

from pathlib import Path

import hydroeval
import numpy as np
from sklearn import metrics

rng = np.random.default_rng(20)
discharge = rng.gamma(0.7, 3.0, 400)
gaps = np.where(rng.random(400) < 0.2, np.nan, discharge)
several = rng.standard_normal((150, 3)) * [1.0, 100.0, 1e-3] + [0.0, 5e4, 1.0]
classes = rng.integers(0, 4, 200).astype(np.float64)
CASES = {
    "discharge": (discharge, 0.8 * discharge + rng.gamma(1.0, 0.5, 400)),
    "gaps": (gaps, discharge * rng.uniform(0.5, 1.4, 400)),
    "far": (1e6 + discharge, 1e6 + discharge + rng.standard_normal(400)),
    "several": (several, several + 0.3 * several.std(axis=0) * rng.standard_normal((150, 3))),
    "classes": (classes, np.where(rng.random(200) < 0.3, rng.integers(0, 4, 200), classes)),
}
LEARNED = {"r2": metrics.r2_score, "mae": metrics.mean_absolute_error}
LEARNED |= {"rmse": metrics.root_mean_squared_error, "accuracy": metrics.accuracy_score}

truths = {}
for name, (true, pred) in CASES.items():
    weight = rng.uniform(0.1, 2.0, len(true))
    truths |= {f"true.{name}": true, f"pred.{name}": pred, f"weight.{name}": weight}
    there = ~np.isnan(true).reshape(len(true), -1).any(axis=1)
    names = {"accuracy"} if name == "classes" else LEARNED.keys() - {"accuracy"}
    for measure in names:
        function, given = LEARNED[measure], (true[there], pred[there])
        truths[f"{name}.{measure}"] = function(*given)
        truths[f"{name}.{measure}.weighted"] = function(*given, sample_weight=weight[there])
    if true.ndim == 1 and name != "classes":
        truths[f"{name}.nse"] = float(hydroeval.evaluator(hydroeval.nse, pred, true)[0])
        truths[f"{name}.kge"] = float(hydroeval.evaluator(hydroeval.kge, pred, true)[0, 0])
np.savez_compressed(Path(__file__).with_name("metric_truths.npz"), **truths)
print(*(f"{key} {value}" for key, value in truths.items() if np.ndim(value) == 0), sep="\n")
