"""
The sound of a circuit
======================

A guitar amplifier bends the waveform and remembers a little. A network of twelve units hears what
goes in and what comes out, and then makes nearly the same overtones of a note that it never heard.
"""

import matplotlib.pyplot as plt
import numpy as np

import numlstm

# %%
# The circuit: a capacitor that charges through a resistor and discharges through something like
# diodes, which conduct better one way than the other.

RATE = 8000  # samples per second


def circuit(u):
    """What the circuit makes of signals u (B, T)."""
    v, samples = np.zeros(len(u)), []
    for sample in u.T:
        v = v + 0.3 * (3 * sample - v - np.where(v > 0, 2, 0.5) * v**3)
        samples.append(v)
    return np.array(samples).T


# %%
# Chords of three random tones, of all loudnesses, with some hiss. The gradients of audio are
# taken over short pieces, here of 256 samples.

rng = np.random.default_rng(0)
t = np.arange(256) / RATE
frequency, phase = rng.uniform(60, 1500, (80, 3, 1)), rng.uniform(0, 2 * np.pi, (80, 3, 1))
loudness = rng.uniform(0.1, 1, (80, 1))
u = loudness * np.sin(2 * np.pi * frequency * t + phase).mean(axis=1)
u += 0.02 * rng.standard_normal(u.shape)
result = numlstm.fit(
    u[..., None],
    circuit(u)[..., None],
    hidden_size=12,
    epochs=120,
    batch_size=8,
    schedule="cosine",
    rng=0,
)

# %%
# A decaying string of 196 Hz, half a second. It has two overtones of its own.

t = np.arange(RATE // 2) / RATE
harmonics = np.array([[1], [2], [3]])
string = np.sum(np.sin(2 * np.pi * 196 * harmonics * t) / harmonics**1.5, axis=0)
string *= 0.7 * np.exp(-3 * t) * np.minimum(t / 0.005, 1)
truth = circuit(string[None])[0]
heard = result.model.predict(string)[:, 0]
ratio = np.mean((heard - truth) ** 2) / np.mean(truth**2)
print(f"error to signal: {ratio:.1e}, that is {10 * np.log10(ratio):.0f} dB")

# %%
# Left the waveform, right the overtones, as peaks of the spectrum. The string has three; the others
# come from the circuit.

hertz = np.fft.rfftfreq(len(t), 1 / RATE)
overtones = 196 * np.arange(1, 13)


def levels(signal):
    """Decibels of the overtones, the first one being 0."""
    power = np.abs(np.fft.rfft(signal * np.hanning(len(signal)))) ** 2
    peaks = np.array([power[np.abs(hertz - overtone) < 20].max() for overtone in overtones])
    return 10 * np.log10(peaks / peaks[0])


off = np.abs(levels(heard) - levels(truth)).max()
print(f"the overtones of network and circuit differ by {off:.1f} dB at most")

figure, (left, right) = plt.subplots(1, 2, figsize=(9, 4), layout="constrained")
piece = slice(400, 560)
left.plot(1000 * t[piece], string[piece], color="0.7", label="string")
left.plot(1000 * t[piece], truth[piece], color="tab:blue", label="circuit")
left.plot(1000 * t[piece], heard[piece], color="tab:red", linestyle="--", label="network")
left.set(xlabel="time / ms", ylabel="signal", ylim=(-1.8, 1.5))
left.set_title(f"error to signal: {10 * np.log10(ratio):.0f} dB")
left.legend(loc="upper right", ncols=3, fontsize="small")
right.bar(overtones, levels(string) + 80, bottom=-80, width=120, color="0.85", label="string")
right.plot(overtones, levels(truth), "o", color="tab:blue", markersize=9, label="circuit")
right.plot(overtones, levels(heard), "x", color="tab:red", label="network")
right.set(xlabel="frequency / Hz", ylabel="level / dB", ylim=(-80, 5))
right.set_title(f"overtones within {off:.1f} dB")
right.legend()
