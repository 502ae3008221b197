"""Venues: the paper venue, a simulated exchange in this process."""
