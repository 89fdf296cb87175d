"""The CPU's kernels of a layer and of the head."""
