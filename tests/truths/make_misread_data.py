"""Excerpts of public data sets for tests/data/test_misread.py.

Run with statsmodels, aeon and scikit-learn installed:

    python tests/truths/make_misread_data.py

Sources: the data that aeon carries (BasicMotions, JapaneseVowels, CardanoSentiment,
ItalyPowerDemand, GunPoint, ArrowHead of the UEA & UCR archives, http://timeseriesclassification.com),
statsmodels (macrodata, elnino, co2, sunspots) and scikit-learn (digits). Batches are
(sequences, steps, features).
"""

from pathlib import Path

import numpy as np
import statsmodels.api as sm
from aeon import datasets
from sklearn.datasets import load_digits

rng = np.random.default_rng(0)
data = {}


def keep(name, X, y, rows=40, every=1):
    """Some rows of (n, channels, T), as (n, T, channels), with class numbers."""
    classes = np.unique(y, return_inverse=True)[1]
    if isinstance(X, list):  # those of 20 steps and more, to the 20th
        long = [index for index, series in enumerate(X) if series.shape[1] >= 20]
        X, classes = np.stack([X[index][:, :20] for index in long]), classes[long]
    chosen = np.sort(rng.permutation(len(X))[:rows])
    data[f"{name}_X"] = X[chosen, :, ::every].transpose(0, 2, 1).round(3).astype(np.float32)
    data[f"{name}_y"] = classes[chosen].astype(np.int8)


keep("BasicMotions", *datasets.load_basic_motions())
keep("JapaneseVowels", *datasets.load_japanese_vowels())
keep("CardanoSentiment", *datasets.load_cardano_sentiment(), rows=107)
keep("ItalyPowerDemand", *datasets.load_italy_power_demand())
keep("GunPoint", *datasets.load_gunpoint(), every=2)
keep("ArrowHead", *datasets.load_arrow_head(), every=3)
digits = load_digits()
data["digits_X"] = digits.images[:100].astype(np.int8)
data["digits_y"] = digits.target[:100].astype(np.int8)
macro = sm.datasets.macrodata.load_pandas().data.iloc[:, 2:]
data["macrodata"] = macro.to_numpy(np.float32)
data["elnino"] = sm.datasets.elnino.load_pandas().data.iloc[:, 1:].to_numpy(np.float32)
co2 = sm.datasets.co2.load_pandas().data["co2"].dropna()
data["co2"] = co2.to_numpy(np.float32)[:600]
data["sunspots"] = sm.datasets.sunspots.load_pandas().data["SUNACTIVITY"].to_numpy(np.float32)
np.savez_compressed(Path(__file__).parent / "misread_data.npz", **data)
