"""The GPU, its compiler and its memory."""
