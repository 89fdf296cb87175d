"""What a network is: sizes, variant, parameters."""
