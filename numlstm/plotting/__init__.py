"""Pictures of plain arrays, with matplotlib: every function takes ``ax=`` and returns its artists.

Nothing here knows a model: what is drawn, `numlstm.inspection`, `predict` and `history` give.
"""

__all__: list[str] = []
