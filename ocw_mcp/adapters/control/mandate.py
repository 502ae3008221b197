"""The mandate of a live book: what a person allows the engine to trade, sealed with the operator's passphrase.

A mandate is bound to an account and to the digest of a policy file. It has an amount, symbols, and an end at most 30
days after it was given. A change of any field breaks the seal. The owner of the directory can replace the passphrase
and with it the seal: the seal protects from other programs that may write one file, not from the owner.
"""

from decimal import Decimal
from pathlib import Path
from typing import Final

import msgspec

from ocw_mcp.adapters.control import passphrase
from ocw_mcp.adapters.files import read_own, write_private
from ocw_mcp.domain.errors import BookError, SettingsError
from ocw_mcp.domain.time import DAY, iso

MANDATE: Final = "mandate.json"
LONGEST_DAYS: Final = 30
"""The most days for which a mandate is given."""
_LARGEST: Final = 1 << 16


class Mandate(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The terms of a mandate."""

    account: str
    """The fingerprint of the account."""
    policy: str
    """The digest of the policy file, and of all that it includes."""
    amount: Decimal
    """The largest notional of all positions and open entries together, in quote currency."""
    symbols: tuple[str, ...]
    given_at: int
    """The time (ms) at which a person gave it."""
    expires_at: int
    """The time (ms) from which on no entry passes."""
    proven_at: int
    """The time (ms) at which the proving order of this account and policy ended flat."""

    def __str__(self) -> str:
        """Return the terms as one clause for the operator."""
        return f"{self.amount:,f} (quote) in {', '.join(self.symbols)} until {iso(self.expires_at)}"


class _Sealed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    mandate: Mandate
    seal: str


_decode = msgspec.json.Decoder(_Sealed).decode


def require_valid(mandate: Mandate) -> None:
    """Raise SettingsError for terms that no mandate may have."""
    if not (mandate.amount.is_finite() and mandate.amount > 0):
        raise SettingsError(f"the amount of the mandate is {mandate.amount}; expected more than 0; correct it")
    if not mandate.symbols:
        raise SettingsError("the mandate names no symbol; expected at least one, such as BTCUSDT")
    if not 0 < mandate.expires_at - mandate.given_at <= LONGEST_DAYS * DAY:
        days = (mandate.expires_at - mandate.given_at) / DAY
        raise SettingsError(f"the mandate is for {days:g} days; expected more than 0 and at most {LONGEST_DAYS}")


def give(directory: Path, mandate: Mandate) -> None:
    """Seal a mandate and store it in place of an earlier one; the caller has checked the passphrase.

    Raises SettingsError for invalid terms, BookError without a passphrase or for a failed write.
    """
    require_valid(mandate)
    sealed = _Sealed(mandate, passphrase.seal(directory, _text(mandate)))
    write_private(directory / MANDATE, msgspec.json.encode(sealed))


def read(directory: Path) -> Mandate | None:
    """Return the mandate of a state directory if its seal is whole, expired or not; None if there is none.

    Raises BookError for a broken seal, invalid terms, and a file that cannot be trusted.
    """
    path, data = directory / MANDATE, read_own(directory, MANDATE, _LARGEST)
    if data is None:
        return None
    try:
        sealed = _decode(data)
    except (msgspec.MsgspecError, UnicodeError):
        raise _broken(path, "is no mandate of this version of ocw") from None
    if not passphrase.is_sealed(directory, _text(sealed.mandate), sealed.seal):
        raise _broken(path, "was changed after it was sealed, or the passphrase was")
    try:
        require_valid(sealed.mandate)
    except SettingsError as error:
        raise _broken(path, f"is invalid: {error}") from None
    return sealed.mandate


def require(directory: Path, account: str, policy: str, now: int) -> Mandate:
    """Return the mandate of a live book, which may have expired. `policy` is the digest of its policies, `now` in ms.

    Raises SettingsError if there is none, or if it is for another account or other policies; BookError as `read` does.
    """
    found = read(directory)
    if found is None:
        raise SettingsError(f"there is no mandate in {directory}, and live mode needs one; give one: {_way(directory)}")
    if found.account != account:
        raise SettingsError(
            f"the mandate in {directory} is for account {found.account}, and this run has account {account}; give "
            f"another: {_way(directory)}"
        )
    if found.policy != policy:
        raise SettingsError(
            f"the policies have changed since the mandate in {directory} was given (then {found.policy[:12]}, now "
            f"{policy[:12]}), so it is not valid any more; use the earlier policies, or renew it: {_way(directory)}"
        )
    if found.given_at > now:
        raise SettingsError(
            f"the mandate in {directory} was given at {iso(found.given_at)}, which is later than now; set the clock of "
            f"this machine, or renew it: {_way(directory)}"
        )
    return found


def _way(directory: Path) -> str:
    return f"ocw connect --mode live --mandate --state {directory}"


def _text(mandate: Mandate) -> bytes:
    return b"ocw mandate 1 " + msgspec.json.encode(mandate)


def _broken(path: Path, why: str) -> BookError:
    return BookError(f"the mandate {path} {why}, so it cannot be trusted; renew it: {_way(path.parent)}")
