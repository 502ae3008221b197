"""Claude as a trader: what it is told, what it may call, what it may cost, and what happens when it cannot decide."""
