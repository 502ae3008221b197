"""The memory of Claude: a diary of trades, days and lessons, which recalls the most similar ones at each wake.

The diary's texts are only shown to a model: they are never parsed, and they grant no permission.
"""
