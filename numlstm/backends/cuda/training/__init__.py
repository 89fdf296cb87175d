"""A fit that stays on the GPU."""
