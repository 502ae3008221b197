"""Prints what is learned, the regimes and the anomalies of made-up data, and sums that no rounding protects.

`python -m tests.support.processor` is run under other settings of the vector instructions.
"""

import hashlib

import msgspec
import numpy as np

from ocw_mcp.core.anomaly.detector import AnomalyDetector
from ocw_mcp.core.learning.learner import Learner
from ocw_mcp.core.regime.tracker import RegimeSettings, RegimeTracker
from ocw_mcp.domain.time import DAY
from tests.support.learning import REGIMES, SIGNALS, outcomes
from tests.support.regimes import FIT, candles, draws, walk


def learned() -> list[object]:
    """Return all that a learner shows after each of 60 outcomes."""
    learner, found = Learner(SIGNALS, REGIMES), list[object]()
    for each in outcomes(draws(1), 60, sources=True):
        learner.take(each)
        for regime in REGIMES:
            found += [learner.read(regime), learner.payoffs.advise(regime), learner.choices.advise(regime)]
    return found


def regimes() -> list[object]:
    """Return the reading of each day of a year."""
    tracker, found = RegimeTracker(settings=RegimeSettings(fit_days=120, first_fit=60)), list[object]()
    for candle in candles(walk(4, 365, block=50)):
        if (request := tracker.close(candle)) is not None:
            tracker.take(request.at, FIT)
        found.append(tracker.reading)
    return found


def anomalies() -> list[object]:
    """Return the reading of each of 400 rows."""
    detector = AnomalyDetector(("return", "volume", "range"))
    rows = draws(2).standard_t(4, size=(400, 3)) @ np.array([[1.0, 0.5, 0.8], [0, 1, 0.3], [0, 0, 1]])
    return [detector.test(at * DAY, tuple(round(value, 6) for value in row)) for at, row in enumerate(rows.tolist())]


def unprotected() -> list[object]:
    """Return logarithms, exponentials and products of matrices as numpy computes them."""
    values = draws(3).random((200, 200)) + 0.5
    return [np.log(values).tolist(), np.exp(values).tolist(), (values @ values).tolist()]


if __name__ == "__main__":
    for part in (learned, regimes, anomalies, unprotected):
        print(part.__name__, hashlib.sha256(msgspec.json.encode(part())).hexdigest())
