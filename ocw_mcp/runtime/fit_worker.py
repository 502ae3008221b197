"""The process that fits one model of the regime: a request on its standard input, the answer on its standard output.

It runs at the lowest priority. `runtime/fitting.py` starts it.
"""

import logging
import os
import sys

import msgspec

from ocw_mcp.core.regime.fitting import fit_of
from ocw_mcp.domain.regime import FitRequest, RegimeFit
from ocw_mcp.domain.unknown import Unknown

Answer = RegimeFit | Unknown


def main() -> None:
    """Read a request, and write the fit or why there is none."""
    if hasattr(os, "nice"):
        os.nice(19)
    logging.disable()  # `fit` judges the candidates that hmmlearn warns of
    request = msgspec.msgpack.decode(sys.stdin.buffer.read(), type=FitRequest)
    sys.stdout.buffer.write(msgspec.msgpack.encode(fit_of(request)))


if __name__ == "__main__":
    main()
