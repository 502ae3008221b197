"""A local Messages API, answered by a seeded character instead of a model."""
