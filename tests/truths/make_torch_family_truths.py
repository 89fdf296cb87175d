"""Make torch_family_truths.npz: torch.nn.LSTM with projections and two directions, in float64.

Needs PyTorch; the tests do not. Run it: python tests/truths/make_torch_family_truths.py

Outputs and gradients. theta and dtheta lie in the order of PyTorch's own parameters(): per layer
and direction weight_ih, weight_hh, bias_ih, bias_hh and, with a projection, weight_hr; the head is
last. Arrays are stored as "configuration.name".
"""

from pathlib import Path

import numpy as np
import torch
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

# name: (I, H, P, O, num_layers, bidirectional, B, T, lengths); P, O of 0: no projection, no head
CONFIGURATIONS = {
    "projection": (3, 7, 4, 0, 1, False, 4, 6, None),
    "projection_to_one": (2, 5, 1, 0, 1, False, 2, 5, None),
    "projection_stack": (3, 5, 2, 0, 3, False, 3, 5, None),
    "bidirectional": (3, 5, 0, 0, 1, True, 4, 6, None),
    "bidirectional_stack": (2, 5, 0, 3, 2, True, 3, 6, None),
    "projection_bidirectional": (3, 5, 3, 2, 2, True, 3, 5, None),
    "projection_ragged": (2, 5, 3, 0, 2, False, 5, 7, [3, 7, 1, 6, 2]),
    "bidirectional_ragged": (3, 5, 0, 0, 1, True, 5, 7, [4, 1, 7, 2, 7]),
    "bidirectional_stack_ragged": (2, 3, 0, 1, 3, True, 4, 8, [5, 8, 1, 3]),
    "all_of_it": (3, 5, 2, 2, 2, True, 5, 6, [2, 6, 5, 1, 4]),
}


class Model(torch.nn.Module):
    def __init__(self, input_size, hidden_size, proj_size, output_size, num_layers, bidirectional):
        super().__init__()
        self.lstm = torch.nn.LSTM(
            input_size,
            hidden_size,
            num_layers,
            batch_first=True,
            bidirectional=bidirectional,
            proj_size=proj_size,
        )
        width = (2 if bidirectional else 1) * (proj_size or hidden_size)
        self.head = torch.nn.Linear(width, output_size) if output_size else None

    def forward(self, X, state, lengths):
        if lengths is None:
            Y, state = self.lstm(X, state)
        else:
            packed = pack_padded_sequence(X, lengths, batch_first=True, enforce_sorted=False)
            Y, state = self.lstm(packed, state)
            Y, _ = pad_packed_sequence(Y, batch_first=True, total_length=X.shape[1])
        return (Y if self.head is None else self.head(Y)), state


def truths(name):
    *sizes, B, T, lengths = CONFIGURATIONS[name]
    input_size, hidden_size, proj_size, _, num_layers, bidirectional = sizes
    directions = 2 if bidirectional else 1
    width = proj_size or hidden_size
    model = Model(*sizes)
    X = torch.randn(B, T, input_size, requires_grad=True)
    rows = num_layers * directions, B
    h0 = (0.5 * torch.randn(*rows, width)).requires_grad_()
    c0 = (0.5 * torch.randn(*rows, hidden_size)).requires_grad_()
    Y, (h, c) = model(X, (h0, c0), lengths)
    lengths = np.array([T] * B if lengths is None else lengths)
    dY, dh, dc = (torch.randn_like(part) for part in (Y, h, c))
    dY[np.arange(T) >= lengths[:, None]] = 0.0
    sum((part * d).sum() for part, d in ((Y, dY), (h, dh), (c, dc))).backward()
    parameters = list(model.parameters())
    tensors = {
        "theta": torch.cat([p.ravel() for p in parameters]),
        "dtheta": torch.cat([p.grad.ravel() for p in parameters]),
        **{"X": X, "dX": X.grad, "Y": Y, "dY": dY},
        **{"h0": h0, "dh0": h0.grad, "h": h, "dh": dh},
        **{"c0": c0, "dc0": c0.grad, "c": c, "dc": dc},
    }
    arrays = {"sizes": np.array([int(size) for size in sizes]), "lengths": lengths}
    arrays |= {key: tensor.detach().numpy() for key, tensor in tensors.items()}
    return {f"{name}.{key}": array for key, array in arrays.items()}


if __name__ == "__main__":
    torch.manual_seed(2014)
    torch.set_default_dtype(torch.float64)
    torch.set_num_threads(1)
    stored = {"torch_version": np.array(torch.__version__)}
    for configuration in CONFIGURATIONS:
        stored |= truths(configuration)
    np.savez_compressed(Path(__file__).with_name("torch_family_truths.npz"), **stored)
