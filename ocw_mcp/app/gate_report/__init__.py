"""The gate report: how often the gate wakes, what that costs, which moves of the market it meets, and what others meet.

`market.py` reads the closes, `definitions.py` defines moves and finds where they begin, `meeting.py` compares them with
wakes, `rivals.py` and `reference.py` have other gates to compare with, `largest.py` the largest moves in hindsight,
`report.py` the whole report, `text.py` its text, and `curve.py` the picture of the trade-off.
"""
