"""Trained networks from and to other software, each checked against the other side.

What the other side needs is an optional requirement, which is imported on use.
"""

__all__: list[str] = []
