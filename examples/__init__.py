"""Strategies to begin with: each file runs by itself, and through `ocw run --strategy examples.NAME:decide`."""
