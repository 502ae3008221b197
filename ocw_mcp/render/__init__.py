"""Typed values as text for models, terminals and pages. Pure functions: no input, no output, no clock."""
