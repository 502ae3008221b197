"""The control endpoint of the sandbox under `/sandbox/`: the clock, faults and counters of a running sandbox.

GET  /sandbox/clock      {"now": ms, "speed": x, "start": ms}
GET  /sandbox/counters   what was requested, sent and changed so far
GET  /sandbox/faults     the faults, as text
GET  /sandbox/account    balances, positions, open orders and waiting algo orders, without a signature
GET  /sandbox/keys       the API keys of the account, with their secrets and permissions
POST /sandbox/keys       add a key: {"permissions": ["reading", "futures"], "ips": []}
POST /sandbox/faults     add a fault (a JSON object with the keys of a script), or a script (TOML)
POST /sandbox/filters    change filters: {"symbol": "BTCUSDT", "tick": "0.01"}
"""

from typing import Any, Final

import msgspec

from ocw_mcp.domain.errors import SettingsError
from ocw_mcp.domain.time import iso
from ocw_mcp.sandbox.binance.account.keys import USUAL, ApiKey, Permission
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
        account = exchange.exchange.account
        values |= {"account": account.overview(now), "keys": [_shown(key) for key in account.keyring.keys]}
        if name in values:
            return _json(200, values[name])
    if method == "POST" and name in ("faults", "filters", "keys"):
        try:
            if name == "keys":
                return _json(200, _shown(_add_key(exchange, body, now)))
            return _json(200, {"added": _add(exchange, name, body, now)})
        except SettingsError as error:
            return _json(400, {"error": str(error)})
    known = "GET clock, GET counters, GET faults, GET account, GET keys, POST faults, POST filters and POST keys"
    return _json(404, {"error": f"there is no {method} {path[:80]}; expected one of {known} below {PREFIX}"})


class _KeyEntry(msgspec.Struct, forbid_unknown_fields=True):
    """A key to add."""

    permissions: tuple[Permission, ...] = tuple(USUAL)
    ips: tuple[str, ...] = ()


def _add_key(exchange: FaultyExchange, body: bytes, now: int) -> ApiKey:
    """Add the key of a body. Raises SettingsError."""
    account = exchange.exchange.account
    try:
        entry = msgspec.json.decode(body or b"{}", type=_KeyEntry)
        return account.keyring.add(frozenset(entry.permissions), entry.ips, now)
    except (msgspec.MsgspecError, UnicodeError, ValueError) as error:
        known = ", ".join(Permission)
        raise SettingsError(f"{error}; expected permissions, some of {known}, and ips, a list") from None


def _shown(key: ApiKey) -> dict[str, Any]:
    return {"key": key.key, "secret": key.secret, "permissions": sorted(key.permissions), "ips": key.ips}


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
