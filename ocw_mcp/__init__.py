"""A trading desk for Claude, with a risk officer that cannot be talked out of anything."""

__version__ = "0.1.0"
