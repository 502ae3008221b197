"""The memory of Claude: a diary of trades, days and lessons; a wake's context has those most similar to the present.

The diary's texts are shown to a model only; they are never parsed, and they grant no permission.
"""
