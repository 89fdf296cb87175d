"""Vectors, products, packing and compilation for the CPU's kernels."""
