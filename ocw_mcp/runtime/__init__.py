"""The runtime: it drives the engine along a clock and carries out its effects."""
