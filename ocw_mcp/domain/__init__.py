"""The values, events, policies and errors shared by all packages, and the protocols between them."""
