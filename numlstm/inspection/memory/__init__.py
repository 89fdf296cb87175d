"""Through which memory, and for how long: cells, hidden states and forget gates."""
