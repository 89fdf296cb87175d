"""Make torch_truths.npz: outputs and gradients of torch.nn.LSTM in float64.

Needs PyTorch; the tests do not. Run it: python tests/truths/make_torch_truths.py

PyTorch's gate order is i, f, g, o as well. It has two biases per layer whose sum is numlstm's one;
the gradient of either is the gradient of ours. Arrays are stored as "configuration.name".
"""

from pathlib import Path

import numpy as np
import torch
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

# name: (I, H, O, num_layers, B, T, lengths)
CONFIGURATIONS = {
    "smallest": (1, 1, None, 1, 1, 1, None),
    "layer": (3, 7, None, 1, 5, 9, None),
    "head": (2, 17, 3, 1, 3, 8, None),
    "stack": (5, 9, None, 2, 7, 6, None),
    "deep": (3, 11, 1, 3, 3, 13, None),
    "ragged": (3, 9, 2, 2, 5, 8, [8, 1, 5, 3, 8]),
    "ragged_deep": (2, 5, None, 3, 7, 11, [4, 11, 2, 9, 1, 7, 3]),
    "tbptt": (2, 9, 3, 2, 3, 23, None),
}
WINDOW = 5  # of "tbptt": 23 steps make four full windows and a short one


class Model(torch.nn.Module):
    def __init__(self, input_size, hidden_size, output_size, num_layers):
        super().__init__()
        self.lstm = torch.nn.LSTM(input_size, hidden_size, num_layers, batch_first=True)
        self.head = torch.nn.Linear(hidden_size, output_size) if output_size else None

    def forward(self, X, state, lengths):
        if lengths is None:
            Y, state = self.lstm(X, state)
        else:
            packed = pack_padded_sequence(X, lengths, batch_first=True, enforce_sorted=False)
            Y, state = self.lstm(packed, state)
            Y, _ = pad_packed_sequence(Y, batch_first=True, total_length=X.shape[1])
        return (Y if self.head is None else self.head(Y)), state

    def flat(self, of):
        """`of` each parameter, in numlstm's order: W_ih, W_hh, b per layer, then the head."""
        parts = []
        for index in range(self.lstm.num_layers):
            one, other = (getattr(self.lstm, f"bias_{kind}_l{index}") for kind in ("ih", "hh"))
            parts += [of(getattr(self.lstm, f"weight_{kind}_l{index}")) for kind in ("ih", "hh")]
            if of is value:
                parts.append(value(one) + value(other))
            else:
                torch.testing.assert_close(one.grad, other.grad, rtol=1e-13, atol=1e-13)
                parts.append(of(one))
        if self.head is not None:
            parts += [of(self.head.weight), of(self.head.bias)]
        return np.concatenate([part.ravel() for part in parts])


def value(parameter):
    return parameter.detach().numpy()


def gradient(parameter):
    return parameter.grad.numpy()


def functional(Y, dY, state, dstate):
    return (Y * dY).sum() + sum((s * d).sum() for s, d in zip(state, dstate, strict=True))


def whole(model, X, state, lengths, dY, dstate):
    """One backward pass through all steps."""
    Y, final = model(X, state, lengths)
    functional(Y, dY, final, dstate).backward()
    return Y, final


def in_windows(model, X, state, lengths, dY, dstate):
    """Truncated back-propagation: the state goes on, its graph is cut by detach()."""
    outputs, zero = [], tuple(torch.zeros_like(d) for d in dstate)
    for start in range(0, X.shape[1], WINDOW):
        window = slice(start, start + WINDOW)
        Y, state = model(X[:, window], state, lengths)
        functional(
            Y, dY[:, window], state, dstate if window.stop >= X.shape[1] else zero
        ).backward()
        outputs.append(Y)
        final, state = state, tuple(part.detach() for part in state)
    return torch.cat(outputs, dim=1), final


def truths(name):
    input_size, hidden_size, output_size, num_layers, B, T, lengths = CONFIGURATIONS[name]
    model = Model(input_size, hidden_size, output_size, num_layers)
    X = torch.randn(B, T, input_size, requires_grad=True)
    rows = (num_layers, B, hidden_size)
    state = [(0.5 * torch.randn(rows)).requires_grad_() for _ in range(2)]
    dY = torch.randn(B, T, output_size or hidden_size)
    if lengths is not None:
        dY[np.arange(T) >= np.array(lengths)[:, None]] = 0.0
    dstate = [torch.randn(rows) for _ in range(2)]
    Y, final = (in_windows if name == "tbptt" else whole)(model, X, state, lengths, dY, dstate)
    arrays = {
        "sizes": np.array([input_size, hidden_size, output_size or 0, num_layers]),
        "lengths": np.array([T] * B if lengths is None else lengths),
        "theta": model.flat(value),
        "dtheta": model.flat(gradient),
        **{"X": value(X), "dX": gradient(X), "Y": value(Y), "dY": dY.numpy()},
        **{"h0": value(state[0]), "dh0": gradient(state[0]), "h": value(final[0])},
        **{"c0": value(state[1]), "dc0": gradient(state[1]), "c": value(final[1])},
        **{"dh": dstate[0].numpy(), "dc": dstate[1].numpy()},
    }
    return {f"{name}.{key}": array for key, array in arrays.items()}


if __name__ == "__main__":
    torch.manual_seed(1997)
    torch.set_default_dtype(torch.float64)
    stored = {"window": np.array(WINDOW), "torch_version": np.array(torch.__version__)}
    for configuration in CONFIGURATIONS:
        stored |= truths(configuration)
    np.savez_compressed(Path(__file__).with_name("torch_truths.npz"), **stored)
