"""Measures on recorded data what `adapters/feeds/simulated/parameters.py` holds, and prints both side by side.

`python -m ocw_mcp.app.calibrate DIRECTORY` reads everything below a directory: candles of one minute and of one hour,
five-minute metrics and funding rates, in the files of the exchange's public archive (`ETHUSDT-1m-2026-03-09.zip`,
`ETHUSDT-metrics-...`, `ETHUSDT-fundingRate-...`), or plain candles such as `um-BTCUSDT-1m-2025-05_06.csv.gz`. Nothing
is written: whoever changes a number in the code does it by hand, to what is common to several months and symbols, and
looks at `ocw bench market` afterwards. Medians over the recordings are told, since one crash outweighs a calm year.
"""
