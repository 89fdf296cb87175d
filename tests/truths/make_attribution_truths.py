"""Make attribution_truths.npz: integrated gradients and input times gradient by captum.

Needs PyTorch and captum; the tests do not. Run it:
python tests/truths/make_attribution_truths.py

Arrays are stored as "case.name": theta, X, baseline, and per explained step "ig.STEP" and
"gxi.STEP" of the output OUTPUT, or of the softmax of it in the case "classes". PyTorch has two
biases per layer whose sum is numlstm's one, here the first of them. Everything is float64, and
64 points of Gauss and Legendre, captum's own choice; it rounds the weights of these points to
float32, which is kept from it here.
"""

from pathlib import Path

import numpy as np
import torch
from captum.attr import InputXGradient, IntegratedGradients

OUTPUT, POINTS = 1, 64
# (I, H, O, layers, directions, B, T), and the steps that are explained
CASES = {
    "plain": ((3, 8, 2, 1, 1, 4, 12), (11, 5)),
    "stacked": ((2, 6, 3, 2, 1, 3, 9), (8, 3)),
    "bidirectional": ((3, 5, 2, 2, 2, 3, 8), (7, 2)),
    "classes": ((2, 7, 4, 1, 1, 5, 10), (9,)),
}


class Network(torch.nn.Module):
    """An LSTM and a head; one step of what it says, of a classifier as probabilities."""

    def __init__(self, sizes, classes):
        """With random parameters."""
        super().__init__()
        inputs, units, outputs, layers, ways, *_ = sizes
        self.lstm = torch.nn.LSTM(inputs, units, layers, batch_first=True, bidirectional=ways == 2)
        self.head = torch.nn.Linear(ways * units, outputs)
        self.classes = classes
        for name, value in self.named_parameters():
            torch.nn.init.uniform_(value, -0.8, 0.8)
            if name.startswith("lstm.bias_hh"):
                torch.nn.init.zeros_(value)

    def forward(self, X, step):
        """(B, O) of a step."""
        Y = self.head(self.lstm(X)[0][:, step])
        return torch.softmax(Y, dim=1) if self.classes else Y

    def theta(self):
        """All parameters in numlstm's order; the gates of both stand alike, i, f, g, o."""
        kept = [p for name, p in self.named_parameters() if not name.startswith("lstm.bias_hh")]
        return np.concatenate([p.detach().numpy().ravel() for p in kept])


def truths(name):
    """Everything of a case by name."""
    sizes, steps = CASES[name]
    network = Network(sizes, name == "classes")
    X = torch.randn(sizes[5], sizes[6], sizes[0])
    baseline = 0.3 * torch.randn_like(X)
    found = {"theta": network.theta(), "X": X.numpy(), "baseline": baseline.numpy()}
    for step in steps:
        asked = {"target": OUTPUT, "additional_forward_args": (step,)}
        ig = IntegratedGradients(network).attribute(
            X, baselines=baseline, n_steps=POINTS, method="gausslegendre", **asked
        )
        gxi = InputXGradient(network).attribute(X.clone().requires_grad_(), **asked)
        found |= {f"ig.{step}": ig.numpy(), f"gxi.{step}": gxi.detach().numpy()}
    return found


def main():
    """Write the file next to this script."""
    torch.manual_seed(0)
    torch.set_default_dtype(torch.float64)
    torch.Tensor.float = torch.Tensor.double  # what captum rounds the weights with
    arrays = {f"{case}.{k}": v for case in CASES for k, v in truths(case).items()}
    np.savez_compressed(Path(__file__).with_name("attribution_truths.npz"), **arrays)


if __name__ == "__main__":
    main()
