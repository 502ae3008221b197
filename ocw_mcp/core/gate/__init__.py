"""The wake-up gate: it determines when a decision is asked for."""
