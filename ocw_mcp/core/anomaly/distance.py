"""The robust distance of a row from a window of earlier rows, which never include the row itself.

Each column is centred at its median and divided by its median absolute deviation. The scaled window is cut at `CUT`, so
that one crash does not widen the measure for the next, and its covariance is shrunk towards a multiple of the identity
(O. Ledoit and M. Wolf, A well-conditioned estimator for large-dimensional covariance matrices, 2004). Nothing is
random.
"""

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

CUT: Final = 5.0
"""The scaled size (median absolute deviations of a normal distribution) at which values of the window are cut."""
_MAD_OF_NORMAL: Final = 1.4826
_MEAN_DEVIATION_OF_NORMAL: Final = 1.2533


class Distance(NamedTuple):
    """The distance of a row, and the part of each column in its square; a part may be below 0."""

    value: float
    parts: Floats


def scales(window: Floats) -> tuple[Floats, Floats]:
    """Return the median and the robust deviation of each column; the deviation is 0 for a column of equal values.

    A column with one value in more than half of its rows, as funding rates have it, takes its mean absolute deviation.
    """
    centre = np.median(window, axis=0)
    sizes = np.abs(window - centre)
    middle = np.median(sizes, axis=0) * _MAD_OF_NORMAL
    return centre, np.where(middle > 0, middle, sizes.mean(axis=0) * _MEAN_DEVIATION_OF_NORMAL)


def distance(window: Floats, row: Floats) -> Distance:
    """Return the distance of a row from a window (rows × columns), whose columns all have a deviation above 0."""
    centre, deviations = scales(window)
    cut = np.clip((window - centre) / deviations, -CUT, CUT)
    away = (row - centre) / deviations
    parts: Floats = away * np.linalg.solve(shrunk_covariance(cut), away)
    return Distance(float(np.sqrt(max(0.0, float(parts.sum())))), parts)


def shrunk_covariance(rows: Floats) -> Floats:
    """Return the covariance of centred rows (rows × columns), shrunk as Ledoit and Wolf derive it.

    The step is small enough for the engine; importing `sklearn.covariance`, which has it too, takes a second.
    """
    count, columns = rows.shape
    empirical: Floats = rows.T @ rows / count
    mean = float(np.trace(empirical)) / columns
    squares = rows * rows
    noise = float((squares.T @ squares).sum()) / count - float((empirical * empirical).sum())
    away = float((empirical * empirical).sum()) - columns * mean * mean
    share = 0.0 if away <= 0 or noise <= 0 else min(1.0, noise / count / away)
    target: Floats = np.eye(columns) * (mean * (1.0 if away <= 0 else share))
    return target + empirical * (0.0 if away <= 0 else 1 - share)
