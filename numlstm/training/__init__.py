"""fit, ensemble and what they are made of."""
