"""Pictures of plain arrays, with matplotlib: every function takes ``ax=``, returns its artists.

Nothing here knows a model: what is drawn, `predict`, `history` and `numlstm.inspection` give.
Series, frames and DataArrays say their times, names and units. All colours can be told apart with
any kind of colour blindness. New figures are pyplot's, so that notebooks show them; no setting of
matplotlib is changed. Needs matplotlib, the extra ``plot``.
"""

from numlstm.plotting.attributions import attribution
from numlstm.plotting.curves import learning_curve
from numlstm.plotting.errors import residuals
from numlstm.plotting.forecasts import forecast
from numlstm.plotting.lags import lag_importance, memory
from numlstm.plotting.spectrum import eigenvalues, time_constants
from numlstm.plotting.units import gates, states

__all__ = [
    "attribution", "eigenvalues", "forecast", "gates", "lag_importance", "learning_curve", "memory",
    "residuals", "states", "time_constants",
]  # fmt: skip
