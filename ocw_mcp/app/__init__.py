"""Puts the house together: settings, policies, composition, the command line."""
