"""What other packages have a keyword for, and numlstm another way."""

_AHEAD = (
    "fit learns the next value. For others pass them as y, as y = X[h:] with X[:-h] for h steps "
    "ahead, or feed forecasts back with model.rollout(X, steps)"
)
_PAST = (
    "a network reads whole series and keeps what it needs of the past in its state: pass the "
    "series as they are"
)
INSTEAD = {
    **dict.fromkeys(("horizon", "steps_ahead", "n_steps_ahead", "forecast_horizon"), _AHEAD),
    **dict.fromkeys(("window", "window_size", "lookback", "lags", "n_lags"), _PAST),
    **dict.fromkeys(
        ("groups", "group"),
        "pass each series as an entry of a list, or a frame with levels of series and of time",
    ),
    **dict.fromkeys(
        ("static_features", "static_covariates"),
        "pass what does not change in time as static=, a row for each series",
    ),
    **dict.fromkeys(
        ("detrend", "trend", "differences"),
        "fit the changes, np.diff(series), and add the forecasts to the last value",
    ),
    **dict.fromkeys(
        ("test_size", "test_split"), "set data aside yourself, or pass validation=0.2 to stop by"
    ),
}
