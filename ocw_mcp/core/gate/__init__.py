"""The wake-up gate: it determines when the agent is asked for a decision."""
