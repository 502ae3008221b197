"""A mandate is bound to its terms by a seal, and a changed one is refused."""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from ocw_mcp.adapters.control import mandate, passphrase
from ocw_mcp.adapters.control.mandate import MANDATE, Mandate
from ocw_mcp.domain.errors import BookError, SettingsError
from ocw_mcp.domain.time import DAY

NOW = 1_767_225_600_000
TERMS = Mandate("acc0", "d1" * 32, Decimal(500), ("BTCUSDT", "ETHUSDT"), NOW, NOW + 7 * DAY, NOW)
CHEAP = passphrase.Cost(n=16)


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    """A state directory with a passphrase and a mandate."""
    passphrase.keep(tmp_path, "correct horse battery", CHEAP)
    mandate.give(tmp_path, TERMS)
    return tmp_path


def changed(desk: Path, **changes: Any) -> None:
    document = json.loads((desk / MANDATE).read_text())
    document["mandate"] |= changes
    (desk / MANDATE).write_text(json.dumps(document))


def test_sealed_mandate_is_read_as_it_was_given(desk: Path) -> None:
    assert mandate.read(desk) == TERMS
    assert mandate.require(desk, "acc0", "d1" * 32, NOW + DAY) == TERMS
    assert (desk / MANDATE).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    "change",
    [
        {"account": "acc1"},
        {"policy": "d2" * 32},
        {"amount": "5000"},
        {"amount": "500.0"},
        {"symbols": ["BTCUSDT", "ETHUSDT", "SOLUSDT"]},
        {"symbols": ["ETHUSDT", "BTCUSDT"]},
        {"given_at": NOW + 1},
        {"expires_at": NOW + 8 * DAY},
        {"proven_at": NOW + 1},
    ],
    ids=str,
)
def test_mandate_with_a_changed_field_is_refused(desk: Path, change: dict[str, Any]) -> None:
    changed(desk, **change)
    with pytest.raises(BookError, match=r"cannot be trusted; renew it: ocw connect --mode live --mandate"):
        mandate.read(desk)


def test_every_field_of_a_mandate_is_under_the_seal(desk: Path) -> None:
    tried = {"account", "policy", "amount", "symbols", "given_at", "expires_at", "proven_at"}
    assert {field.name for field in msgspec.structs.fields(Mandate)} == tried


@pytest.mark.parametrize("seal", ["", "00" * 32, "ü"])
def test_mandate_with_another_seal_is_refused(desk: Path, seal: str) -> None:
    document = json.loads((desk / MANDATE).read_text()) | {"seal": seal}
    (desk / MANDATE).write_text(json.dumps(document))
    with pytest.raises(BookError, match="changed after it was sealed"):
        mandate.read(desk)


def test_mandate_ends_with_its_passphrase(desk: Path) -> None:
    passphrase.keep(desk, "correct horse battery", CHEAP)
    with pytest.raises(BookError, match="or the passphrase was"):
        mandate.read(desk)
    (desk / "passphrase").unlink()
    with pytest.raises(BookError, match="no passphrase is set"):
        mandate.read(desk)


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"mandate": {}, "seal": ""}'])
def test_broken_mandate_file_is_refused(desk: Path, text: str) -> None:
    (desk / MANDATE).write_text(text)
    with pytest.raises(BookError, match="no mandate of this version"):
        mandate.read(desk)


def test_mandate_file_that_others_can_read_is_refused(desk: Path) -> None:
    (desk / MANDATE).chmod(0o644)
    with pytest.raises(BookError, match="open to other users"):
        mandate.read(desk)


def test_mandate_of_another_account_policy_or_time_is_not_valid(desk: Path) -> None:
    with pytest.raises(SettingsError, match="is for account acc0, and this run has account acc1"):
        mandate.require(desk, "acc1", "d1" * 32, NOW)
    with pytest.raises(SettingsError, match=r"the policies have changed .* or renew it: ocw connect"):
        mandate.require(desk, "acc0", "d2" * 32, NOW)
    with pytest.raises(SettingsError, match="which is later than now; set the clock"):
        mandate.require(desk, "acc0", "d1" * 32, NOW - 1)
    (desk / MANDATE).unlink()
    with pytest.raises(SettingsError, match=r"there is no mandate .*; give one: ocw connect"):
        mandate.require(desk, "acc0", "d1" * 32, NOW)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"expires_at": NOW + 30 * DAY + 1}, "at most 30"),
        ({"expires_at": NOW}, "more than 0"),
        ({"expires_at": NOW - DAY}, "more than 0"),
        ({"amount": Decimal(0)}, "expected more than 0"),
        ({"amount": Decimal("NaN")}, "expected more than 0"),
        ({"amount": Decimal("Infinity")}, "expected more than 0"),
        ({"symbols": ()}, "names no symbol"),
    ],
)
def test_terms_that_no_mandate_may_have_are_refused(desk: Path, change: dict[str, Any], says: str) -> None:
    with pytest.raises(SettingsError, match=says):
        mandate.give(desk, msgspec.structs.replace(TERMS, **change))
    assert mandate.read(desk) == TERMS


def test_mandate_for_thirty_days_is_the_longest(desk: Path) -> None:
    longest = msgspec.structs.replace(TERMS, expires_at=NOW + 30 * DAY)
    mandate.give(desk, longest)
    assert mandate.read(desk) == longest
