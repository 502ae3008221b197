"""API keys: their permissions, and the signature and the time stamp of a signed request."""

import hashlib
import hmac
import re
from enum import StrEnum
from typing import Any, Final

import msgspec

from ocw_mcp.domain.time import MINUTE, SECOND
from ocw_mcp.sandbox.binance.parameters import ApiError

DEFAULT_WINDOW: Final = 5 * SECOND
"""The age (ms) up to which a request is accepted, if it names none."""
LONGEST_WINDOW: Final = MINUTE
"""The largest `recvWindow` (ms)."""
AHEAD: Final = SECOND
"""How far (ms) a time stamp may be ahead of the exchange's time."""
MOST_KEYS: Final = 100
_FORM: Final = re.compile(r"[A-Za-z0-9]{64}")
_SIGNATURE: Final = re.compile(r"(?:^|&)signature=([^&]*)")


class Permission(StrEnum):
    """The permissions of an API key."""

    READING = "reading"
    TRADING = "trading"
    """Orders on spot."""
    FUTURES = "futures"
    """Orders and settings on futures."""
    WITHDRAWALS = "withdrawals"
    TRANSFERS = "transfers"


USUAL: Final = frozenset({Permission.READING, Permission.TRADING, Permission.FUTURES})
"""The permissions of the first key: all that trading needs, and no way to move money out."""


class ApiKey(msgspec.Struct, frozen=True):
    """A key of the account."""

    key: str
    secret: str
    permissions: frozenset[Permission] = USUAL
    ips: tuple[str, ...] = ()
    """The addresses from which the key works; empty if from all."""
    created_at: int = 0

    def restrictions(self) -> dict[str, Any]:
        """Return the permissions as `/sapi/v1/account/apiRestrictions` answers them."""
        may = self.permissions.__contains__
        return {
            "ipRestrict": bool(self.ips),
            "createTime": self.created_at,
            "enableReading": may(Permission.READING),
            "enableWithdrawals": may(Permission.WITHDRAWALS),
            "enableInternalTransfer": may(Permission.TRANSFERS),
            "enableMargin": False,
            "enableFutures": may(Permission.FUTURES),
            "permitsUniversalTransfer": may(Permission.TRANSFERS),
            "enableVanillaOptions": False,
            "enableFixApiTrade": False,
            "enableFixReadOnly": False,
            "enableSpotAndMarginTrading": may(Permission.TRADING),
            "enablePortfolioMarginTrading": False,
        }


def made_key(name: str, permissions: frozenset[Permission] = USUAL, ips: tuple[str, ...] = (), at: int = 0) -> ApiKey:
    """Return the key of a name: key and secret of 64 characters that depend on the name only. They protect nothing."""
    key, secret = (hashlib.sha256(f"sandbox {part} {name}".encode()).hexdigest() for part in ("key", "secret"))
    return ApiKey(key, secret, permissions, ips, at)


class Keyring:
    """The keys of the account."""

    def __init__(self, created_at: int) -> None:
        self.first = made_key("1", at=created_at)
        self._keys = {self.first.key: self.first}

    @property
    def keys(self) -> tuple[ApiKey, ...]:
        """All keys, the oldest first."""
        return tuple(self._keys.values())

    def add(self, permissions: frozenset[Permission], ips: tuple[str, ...], at: int) -> ApiKey:
        """Add a key with permissions and addresses, and return it. Raises ValueError if there are too many."""
        if len(self._keys) >= MOST_KEYS:
            raise ValueError(f"there are {MOST_KEYS} keys, the most that fit")
        key = made_key(str(len(self._keys) + 1), permissions, ips, at)
        self._keys[key.key] = key
        return key

    def remove(self, key: str) -> None:
        """Delete a key, as its owner can at any time."""
        self._keys.pop(key, None)

    def identify(self, headers: dict[str, str], ip: str, needed: Permission) -> ApiKey:
        """Return the key of a request. Raises ApiError if it is unknown, or may not do what is `needed`."""
        given = headers.get("x-mbx-apikey", "")
        if not _FORM.fullmatch(given):
            raise ApiError(-2014, "API-key format invalid.", 401)
        key = self._keys.get(given)
        if key is None or needed not in key.permissions or (key.ips and ip not in key.ips):
            raise ApiError(-2015, "Invalid API-key, IP, or permissions for action", 401)
        return key


def signature_of(text: str, body: str) -> tuple[str, str | None]:
    """Return the text that a signature covers, and the signature, None if there is none.

    The text is the query string and then the body, as they were sent, without the parameter `signature`.
    """
    found = _SIGNATURE.search(text) or _SIGNATURE.search(body)
    signed = _SIGNATURE.sub("", text, count=1) + _SIGNATURE.sub("", body, count=1)
    return signed, found[1] if found else None


def sign(secret: str, text: str) -> str:
    """Return the signature of a text: its HMAC with SHA-256, in hexadecimal digits."""
    return hmac.new(secret.encode(), text.encode(), hashlib.sha256).hexdigest()


def check_time(query: dict[str, str], now: int) -> None:
    """Raise ApiError unless the time stamp of a signed request fits the exchange's time `now` (ms)."""
    stamp, window = query.get("timestamp", ""), query.get("recvWindow", str(DEFAULT_WINDOW))
    if not stamp:
        raise ApiError(-1102, "Mandatory parameter 'timestamp' was not sent, was empty/null, or malformed.")
    for name, value in (("timestamp", stamp), ("recvWindow", window)):
        if not re.fullmatch(r"[0-9]{1,20}", value):
            legal = "^[0-9]{1,20}$"
            raise ApiError(-1100, f"Illegal characters found in parameter '{name}'; legal range is '{legal}'.")
    if int(window) > LONGEST_WINDOW:
        raise ApiError(-1131, "recvWindow must be less than 60000")
    if int(stamp) >= now + AHEAD:
        raise ApiError(-1021, "Timestamp for this request was 1000ms ahead of the server's time.")
    if now - int(stamp) > int(window):
        raise ApiError(-1021, "Timestamp for this request is outside of the recvWindow.")


def check_signature(key: ApiKey, text: str, body: str) -> None:
    """Raise ApiError unless the signature of a request is that of its query string and body."""
    signed, given = signature_of(text, body)
    if not given:
        raise ApiError(-1102, "Mandatory parameter 'signature' was not sent, was empty/null, or malformed.")
    if not hmac.compare_digest(sign(key.secret, signed), given.lower()):
        raise ApiError(-1022, "Signature for this request is not valid.")
