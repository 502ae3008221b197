"""Pictures as files: whether one can be drawn, and writing it."""

import os
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from ocw_mcp.domain.errors import SettingsError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FORMATS: Final = (".png", ".svg")


def require_png(path: Path) -> None:
    """Raise SettingsError if a picture cannot be drawn: matplotlib is missing, or the path cannot be a file."""
    if find_spec("matplotlib") is None:
        raise SettingsError(
            "a picture needs matplotlib, which is not installed; install it, or ocw-mcp with its extra: ocw-mcp[plot]"
        )
    if path.is_dir() or not path.parent.is_dir():
        raise SettingsError(
            f"the picture {path.name} cannot be a file: expected a file name in a folder that exists; choose another"
        )


def require_png_or_svg(path: Path) -> None:
    """Raise SettingsError if `save` cannot draw into this file."""
    if path.suffix.lower() not in FORMATS and not path.is_dir():
        raise SettingsError(
            f"the picture {path.name} has no known format; expected a name that ends in {' or '.join(FORMATS)}; "
            "choose another"
        )
    require_png(path)
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise SettingsError(
            f"the picture {path.name} cannot be written; expected a file that you may write; choose another place"
        )


def save(figure: "Figure", path: Path, kind: str = "") -> None:
    """Write a figure as `png` or `svg`, by default as its name ends. The same figure gives the same bytes.

    Raises SettingsError if the file cannot be written.
    """
    import matplotlib as mpl

    kind = kind or path.suffix.lower().removeprefix(".")
    try:
        with mpl.rc_context({"svg.hashsalt": "ocw"}):
            figure.savefig(path, format=kind, dpi=100, metadata={"Date": None} if kind == "svg" else None)
    except OSError as error:
        text = f"the picture cannot be written to {path.name}: {error.strerror}; choose another place"
        raise SettingsError(text) from error


def moments(times: Sequence[int]) -> npt.NDArray[np.datetime64]:
    """Return times (ms) as those of an axis."""
    return np.array(times, dtype="datetime64[ms]")
