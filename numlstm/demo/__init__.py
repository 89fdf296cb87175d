"""The sunspot run."""
