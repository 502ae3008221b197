"""The macro regime over time: `ocw macro`."""
