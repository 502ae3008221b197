"""When to think."""
