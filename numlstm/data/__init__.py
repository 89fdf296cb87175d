"""From the user's arrays to the network's."""
