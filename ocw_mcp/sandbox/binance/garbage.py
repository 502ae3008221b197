"""Invalid messages made from valid ones, for the fault `garbage`."""

from collections.abc import Callable
from typing import Any, Final

import msgspec

from ocw_mcp.domain.time import DAY

_PRICES: Final = {
    "kline": ("o", "h", "l", "c"),
    "continuous_kline": ("o", "h", "l", "c"),
    "aggTrade": ("p",),
    "trade": ("p",),
    "markPriceUpdate": ("p", "i", "P"),
    "bookTicker": ("b", "a"),
    "24hrTicker": ("o", "h", "l", "c"),
    "24hrMiniTicker": ("o", "h", "l", "c"),
    "forceOrder": ("p", "ap"),
}
"""The fields with prices, by the type of a message."""
_STRANGER: Final = "GARBAGEUSDT"
"""A symbol that the exchange does not have."""


def garbage(text: str, form: str) -> str:
    """Return a message in an invalid form; one that has no such fields is returned as it is."""
    if form == "malformed":
        return text[: len(text) // 2]
    message = msgspec.json.decode(text)
    whole = message
    if isinstance(message, dict) and "stream" in message and "data" in message:
        message = message["data"]
    for each in message if isinstance(message, list) else [message]:
        _CHANGES[form](each)
    return msgspec.json.encode(whole).decode()


def _fields(message: dict[str, Any]) -> dict[str, Any]:
    """Return the part of a message that has its prices."""
    part = message.get("k", message.get("o"))
    return part if isinstance(part, dict) else message


def _parts(message: dict[str, Any]) -> list[dict[str, Any]]:
    """Return a message, and the part with its prices if that is another object."""
    fields = _fields(message)
    return [message] if fields is message else [message, fields]


def _prices(change: Callable[[str], str]) -> Callable[[dict[str, Any]], None]:
    def apply(message: dict[str, Any]) -> None:
        fields = _fields(message)
        # Best prices on spot have no type.
        for name in _PRICES.get(message.get("e", "bookTicker"), ()):
            if isinstance(fields.get(name), str):
                fields[name] = change(fields[name])

    return apply


def _other_symbol(message: dict[str, Any]) -> None:
    for part in _parts(message):
        if "s" in part:
            part["s"] = _STRANGER


def _future(message: dict[str, Any]) -> None:
    for part in _parts(message):
        for name in ("E", "T", "t"):
            if isinstance(part.get(name), int) and part[name] > DAY:
                part[name] += DAY


def _schema(message: dict[str, Any]) -> None:
    """Rename the first price, and change the type of the time."""
    fields = _fields(message)
    for name in _PRICES.get(message.get("e", "bookTicker"), ())[:1]:
        fields[f"{name}_v2"] = {"value": fields.pop(name, None)}
    if "E" in message:
        message["E"] = [message["E"]]


_CHANGES: Final[dict[str, Callable[[dict[str, Any]], None]]] = {
    "nan": _prices(lambda text: "NaN"),
    "zero": _prices(lambda text: "0.00"),
    "huge": _prices(lambda text: f"{float(text) * 1e9:.2f}"),
    "negative": _prices(lambda text: f"-{text}"),
    "other_symbol": _other_symbol,
    "future": _future,
    "schema": _schema,
}
