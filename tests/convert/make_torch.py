"""Make torch.npz: state dicts of PyTorch's modules, and what the modules make of a batch.

Needs PyTorch; the tests do not. Run it: python tests/convert/make_torch.py
Arrays are stored as "configuration/what/name".
"""

from pathlib import Path

import numpy as np
import torch
from torch import nn


class Network(nn.Module):
    """An LSTM with a head, and things beside it that have no parameters."""

    def __init__(self, *sizes, out=None, **options):
        super().__init__()
        self.rnn = nn.LSTM(*sizes, batch_first=True, **options)
        self.drop = nn.Dropout(0.5)
        width = (self.rnn.proj_size or self.rnn.hidden_size) * (1 + self.rnn.bidirectional)
        self.fc = nn.Linear(width, out) if out else None

    def forward(self, X):
        Y, (h, c) = self.rnn(X)
        return Y if self.fc is None else self.fc(self.drop(Y)), h, c


class Cell(nn.Module):
    def __init__(self):
        super().__init__()
        self.cell = nn.LSTMCell(3, 5)

    def forward(self, X):
        state, rows = None, []
        for x in X.unbind(1):
            state = self.cell(x, state)
            rows.append(state[0])
        return torch.stack(rows, 1), state[0][None], state[1][None]


class Stack(nn.Module):
    """Two modules of different sizes."""

    def __init__(self):
        super().__init__()
        self.first, self.second = (nn.LSTM(*n, batch_first=True) for n in ((3, 6), (6, 4)))

    def forward(self, X):
        Y, (h, c) = self.first(X)
        Y, (h2, c2) = self.second(Y)
        pad = [nn.functional.pad(part, (0, 2)) for part in (h2, c2)]
        return Y, torch.cat([h, pad[0]]), torch.cat([c, pad[1]])


NETWORKS = {
    "plain": lambda: Network(3, 5),
    "head": lambda: Network(3, 5, out=2, dropout=0.0),
    "no_bias": lambda: Network(3, 5, 2, bias=False),
    "everything": lambda: Network(3, 7, 2, out=2, bidirectional=True, proj_size=4, dropout=0.5),
    "cell": Cell,
    "stack": Stack,
}

if __name__ == "__main__":
    torch.manual_seed(1997)
    torch.set_default_dtype(torch.float64)
    stored = {"X": np.random.default_rng(0).standard_normal((2, 6, 3))}
    for name, make in NETWORKS.items():
        network = make().eval()
        with torch.no_grad():
            results = network(torch.from_numpy(stored["X"]))
        for what, value in zip(("Y", "h", "c"), results, strict=True):
            stored[f"{name}/result/{what}"] = value.numpy()
        for key, value in network.state_dict().items():
            stored[f"{name}/state/{key}"] = value.numpy()
    np.savez_compressed(Path(__file__).with_name("torch.npz"), **stored)
