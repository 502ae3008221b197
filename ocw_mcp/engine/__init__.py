"""The engine: each step takes an event and returns effects."""
