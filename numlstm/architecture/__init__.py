"""Descriptions of cells, layers and networks, and the layout of their parameters."""
