"""The process that fits models of the regime: requests on its standard input, answers on its standard output.

Each has its length in bytes before it. `runtime/fitting.py` starts the process; the end of the input ends it.
"""

import logging
import os
import struct
import sys
from typing import Final

import msgspec

from ocw_mcp.domain.regime import FitRequest, RegimeFit
from ocw_mcp.domain.unknown import Unknown

Answer = RegimeFit | Unknown

LENGTH: Final = struct.Struct("<I")
LOWEST_PRIORITY: Final = "--lowest-priority"


def main() -> None:
    """Answer each request with the fit or why there is none."""
    from ocw_mcp.core.regime.fitting import fit_of

    if LOWEST_PRIORITY in sys.argv and hasattr(os, "nice"):
        os.nice(19)
    logging.disable()  # `fit` judges the candidates that hmmlearn warns of
    while len(head := sys.stdin.buffer.read(LENGTH.size)) == LENGTH.size:
        request = msgspec.msgpack.decode(sys.stdin.buffer.read(*LENGTH.unpack(head)), type=FitRequest)
        answer = msgspec.msgpack.encode(fit_of(request))
        sys.stdout.buffer.write(LENGTH.pack(len(answer)) + answer)
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
