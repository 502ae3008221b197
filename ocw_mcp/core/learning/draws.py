"""Random draws that depend on nothing but numbers in the state, so that a restart repeats them."""

from numpy.random import PCG64, SeedSequence  # noqa: TID251  every draw is from a generator seeded here
from numpy.random import Generator as Generator  # noqa: TID251


def generator(*numbers: int) -> Generator:
    """Return a generator that the numbers (≥ 0) determine: a seed, a regime, counts of outcomes and a purpose."""
    return Generator(PCG64(SeedSequence(numbers)))
