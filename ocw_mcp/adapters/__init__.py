"""Adapters: everything that reads or writes outside the process. The engine uses them only through protocols."""
