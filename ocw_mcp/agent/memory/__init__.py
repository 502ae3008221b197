"""What Claude remembers: a diary of trades, days and lessons, of which it is shown what is nearest to now.

Nothing in it is parsed for anything but a model's eyes, and nothing in it permits anything.
"""
