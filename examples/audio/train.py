"""Learn a distortion circuit from what goes in and what comes out, and write it as C.

The circuit is a capacitor that charges through a resistor and discharges through something like
diodes: v' = rate (gain u - v - v^3). `main.c` runs the network sample by sample.
"""

import numpy as np

import numlstm

RATE, GAIN = 0.3, 3.0


def circuit(u):
    """What the circuit makes of signals u (B, T)."""
    v, rows = np.zeros(len(u)), []
    for sample in u.T:
        v = v + RATE * (GAIN * sample - v - v**3)
        rows.append(v)
    return np.array(rows).T


rng = np.random.default_rng(0)
t = np.arange(256)
tones = rng.uniform(0.01, 0.3, (64, 3, 1)) * t + rng.uniform(0, 6.3, (64, 3, 1))
u = rng.uniform(0.1, 1, (64, 1)) * np.sin(tones).mean(axis=1) + 0.02 * rng.standard_normal(
    (64, 256)
)
X, y = u[..., None], circuit(u)[..., None]
result = numlstm.fit(X, y, hidden_size=12, epochs=60, batch_size=8, learning_rate=0.01, rng=0)
print(f"mean squared error, in units of the signal's variance: {result.fun:.1e}")
result.model.export_c("circuit.c")
