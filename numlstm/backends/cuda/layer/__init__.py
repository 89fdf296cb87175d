"""The GPU's kernels of a layer."""
