"""The memory of Claude: a diary of trades, days and lessons, of which a wake is shown the entries most similar to now.

Its texts are shown to a model only; they are never parsed, and they permit nothing.
"""
