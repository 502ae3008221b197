"""Measurements of recorded data for `adapters/feeds/simulated/parameters.py`, printed beside its values.

`python -m ocw_mcp.app.calibrate DIRECTORY` reads everything below a directory: candles of one minute and of one hour,
five-minute metrics and funding rates, in the files of the exchange's public archive (`ETHUSDT-1m-2026-03-09.zip`,
`ETHUSDT-metrics-...`, `ETHUSDT-fundingRate-...`), or candles alone such as `um-BTCUSDT-1m-2025-05_06.csv.gz`. The
command changes no file. A value in the code is edited by hand, to the value common to several months and symbols, and
checked with `ocw bench market`. The results are medians over the recordings, since one crash outweighs a calm year.
"""
