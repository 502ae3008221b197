"""A Messages API on loopback, behind which no model sits but a seeded character."""
