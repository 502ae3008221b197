"""Where chance comes from: for each day and each purpose a generator of its own, told by the seed alone."""

import hashlib

from numpy.random import PCG64, Generator, SeedSequence  # noqa: TID251  every draw is from a generator seeded here

__all__ = ["Generator", "dice"]


def dice(seed: int, day: int, purpose: str) -> Generator:
    """The generator of one day and purpose (the market, or a symbol's path, candles, derivatives).

    Whatever else is drawn, and for whichever symbols, never changes what it gives.
    """
    name = int.from_bytes(hashlib.sha256(purpose.encode()).digest()[:8])
    return Generator(PCG64(SeedSequence([seed, day, name])))
