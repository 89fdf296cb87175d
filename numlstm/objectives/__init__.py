"""The loss as a function of the flat vector."""
