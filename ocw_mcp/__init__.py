"""Lets Claude trade crypto behind hard risk limits that no prompt can change."""

__version__ = "0.1.0"
