"""Which input brought how much: attributions by gradients, and what they are compared with."""
