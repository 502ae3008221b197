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
MAD_OF_NORMAL: Final = 1.4826
"""The standard deviation of a normal distribution, in median absolute deviations."""
MEAN_DEVIATION_OF_NORMAL: Final = 1.2533
"""The same in mean absolute deviations."""


class Distances(NamedTuple):
    """The distance of each row, and the part of each column in its square (rows × columns); a part may be below 0."""

    values: Floats
    parts: Floats


def scales(windows: Floats) -> tuple[Floats, Floats]:
    """Return the median and the robust deviation of each column, along the last axis but one.

    The deviation is 0 for a column of equal values. A column with one value in more than half of its rows, as funding
    rates have it, takes its mean absolute deviation.
    """
    centre = np.median(windows, axis=-2)
    sizes = np.abs(windows - centre[..., None, :])
    middle = np.median(sizes, axis=-2) * MAD_OF_NORMAL
    return centre, np.where(middle > 0, middle, sizes.mean(axis=-2) * MEAN_DEVIATION_OF_NORMAL)


def distances(windows: Floats, rows: Floats, centre: Floats, deviations: Floats) -> Distances:
    """Return the distance of each row (rows × columns) from its window (rows × rows of a window × columns).

    `centre` and `deviations` are the `scales` of the windows, of which none may be 0.
    """
    cut = np.clip((windows - centre[:, None]) / deviations[:, None], -CUT, CUT)
    away = (rows - centre) / deviations
    parts: Floats = away * np.linalg.solve(shrunk_covariance(cut), away[..., None])[..., 0]
    return Distances(np.sqrt(np.maximum(0.0, parts.sum(axis=-1))), parts)


def distance(window: Floats, row: Floats) -> Distances:
    """Return the distance of one row from a window (rows × columns): `values` and `parts` without their first axis."""
    centre, deviations = scales(window[None])
    found = distances(window[None], row[None], centre, deviations)
    return Distances(found.values[0], found.parts[0])


def shrunk_covariance(windows: Floats) -> Floats:
    """Return the covariance of the centred rows of each window, shrunk as Ledoit and Wolf derive it.

    The step is small enough for the engine; importing `sklearn.covariance`, which has it too, takes a second.
    """
    count, columns = windows.shape[-2:]
    empirical: Floats = np.swapaxes(windows, -1, -2) @ windows / count
    mean = np.trace(empirical, axis1=-2, axis2=-1) / columns
    total = (empirical * empirical).sum(axis=(-2, -1))
    squares = windows * windows
    noise = (np.swapaxes(squares, -1, -2) @ squares).sum(axis=(-2, -1)) / count - total
    away = total - columns * mean * mean
    share = np.minimum(1.0, np.divide(noise, count * away, out=np.zeros_like(away), where=(away > 0) & (noise > 0)))
    target: Floats = np.eye(columns) * (mean * np.where(away <= 0, 1.0, share))[..., None, None]
    return target + empirical * np.where(away <= 0, 0.0, 1 - share)[..., None, None]
