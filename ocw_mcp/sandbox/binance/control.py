"""The control endpoint of the sandbox under `/sandbox/`: the clock, faults and counters of a running sandbox.

GET  /sandbox/clock      {"now": ms, "speed": x, "start": ms}
GET  /sandbox/counters   what was requested, sent and changed so far
GET  /sandbox/faults     the faults, as text
POST /sandbox/faults     add a fault (a JSON object with the keys of a script), or a script (TOML)
POST /sandbox/filters    change filters: {"symbol": "BTCUSDT", "tick": "0.01"}
"""

from typing import Any, Final

import msgspec

from ocw_mcp.domain.errors import SettingsError
from ocw_mcp.domain.time import iso
from ocw_mcp.sandbox.binance.exchange import JSON, Response
from ocw_mcp.sandbox.binance.faults import load_script
from ocw_mcp.sandbox.binance.faulty import FaultyExchange

PREFIX: Final = "/sandbox/"


def answer(exchange: FaultyExchange, method: str, path: str, body: bytes, now: int, speed: float) -> Response:
    """Return the answer of the control endpoint at a path that begins with `PREFIX`."""
    name = path.removeprefix(PREFIX)
    start = exchange.plan.start
    if method == "GET":
        values: dict[str, Any] = {
            "clock": {"now": now, "speed": speed, "start": start},
            "counters": exchange.counters(now),
            "faults": [{"at": iso(start + fault.at), "fault": str(fault)} for fault in exchange.plan.faults],
        }
        if name in values:
            return _json(200, values[name])
    if method == "POST" and name in ("faults", "filters"):
        try:
            return _json(200, {"added": _add(exchange, name, body, now)})
        except SettingsError as error:
            return _json(400, {"error": str(error)})
    known = "GET clock, GET counters, GET faults, POST faults and POST filters"
    return _json(404, {"error": f"there is no {method} {path[:80]}; expected one of {known} below {PREFIX}"})


def _add(exchange: FaultyExchange, name: str, body: bytes, now: int) -> list[str]:
    """Add the faults of a body, and return them as text. Raises SettingsError."""
    try:
        entry = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeError):
        if name == "filters" or body.lstrip().startswith((b"{", b"[[{")):
            raise SettingsError("the body is no JSON; expected an object with the keys of a fault") from None
        faults = load_script(body.decode("utf-8", "replace"), "the body")
        exchange.add_faults(faults)
        return [str(fault) for fault in faults]
    entries = entry if isinstance(entry, list) else [entry]
    if not all(isinstance(each, dict) for each in entries):
        raise SettingsError("the body is no object; expected an object with the keys of a fault, or a list of them")
    if name == "filters":
        entries = [{"kind": "filters"} | each for each in entries]
    return [str(exchange.add_fault(each, now)) for each in entries]


def _json(status: int, value: Any) -> Response:
    return Response(status, msgspec.json.encode(value), JSON)
