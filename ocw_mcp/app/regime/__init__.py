"""The regime of a recorded or simulated market over time: `ocw regime`."""
