"""With what is asked and where; and that neither is ever shown."""

import json
from typing import Any

import pytest
from pydantic import SecretStr

from ocw_mcp.agent.causes import Trouble
from ocw_mcp.agent.credentials import API, REDACTED, Credentials, credentials, scrub
from ocw_mcp.domain.causes import MEANING_OF_CAUSE, CauseKind

KEY = SecretStr("plain-looking-secret-1234")
GATEWAY = "https://gateway.example.org/claude"


def test_a_key_goes_to_the_api_or_to_where_somebody_says() -> None:
    assert credentials(KEY) == Credentials(API, KEY)
    assert credentials(KEY, base_url=GATEWAY) == Credentials(GATEWAY, KEY)


def test_the_key_comes_first_and_a_token_needs_a_gateway() -> None:
    assert credentials(KEY, SecretStr("token"), GATEWAY) == Credentials(GATEWAY, KEY)
    assert credentials(None, KEY, GATEWAY) == Credentials(GATEWAY, auth_token=KEY)
    assert isinstance(credentials(None, KEY), Trouble)


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"base_url": GATEWAY},
        {"api_key": KEY, "base_url": "http://gateway.example.org"},
        {"api_key": KEY, "base_url": "ftp://127.0.0.1"},
        {"api_key": KEY, "base_url": "https://user:pass@gateway.example.org"},
        {"auth_token": KEY, "base_url": "http://127.0.0.1.example.org"},
    ],
)
def test_what_cannot_be_asked_with_is_a_cause_that_shows_nothing(given: dict[str, Any]) -> None:
    trouble = credentials(**given)
    assert isinstance(trouble, Trouble)
    assert trouble.kind is CauseKind.NO_KEY
    assert "secret" not in str(trouble)
    assert "pass" not in str(trouble)


@pytest.mark.parametrize("odd", ['gw"7\\x', "gw/7+x==", "gw:7 x", "gw-\u00fc7"])
def test_an_odd_token_is_taken_out_of_plain_text_and_of_json(odd: str) -> None:
    given = Credentials(GATEWAY, auth_token=SecretStr(odd))
    for text in (odd, json.dumps({"said": odd}), json.dumps({"said": odd}, ensure_ascii=False)):
        assert given.scrub(text).strip('{"}').removeprefix('said": "') == REDACTED


def test_an_address_of_this_machine_is_known_as_one() -> None:
    for url in ("http://127.0.0.1:8000", "http://localhost", "http://[::1]:1"):
        asked_with = credentials(KEY, base_url=url)
        assert isinstance(asked_with, Credentials)
        assert asked_with.local
    assert not Credentials(API, KEY).local


def test_no_text_of_the_credentials_holds_them() -> None:
    given = Credentials(GATEWAY, KEY, SecretStr("another-secret-5678"))
    for text in (repr(given), str(given), f"{given}", str([given])):
        assert "secret" not in text


def test_a_text_is_scrubbed_of_them_and_of_what_looks_like_one() -> None:
    given = Credentials(GATEWAY, KEY)
    said = (
        f"{KEY.get_secret_value()} sk-ant-api03-abc_DEF ocw_0123456789abcdefghij Authorization: Bearer abc.def-gh/i=="
    )
    assert given.scrub(said) == f"{REDACTED} {REDACTED} {REDACTED} Authorization: {REDACTED}"
    assert scrub("BTCUSDT 80000, bearer of news") == "BTCUSDT 80000, bearer of news"


def test_every_cause_has_its_sentence() -> None:
    assert set(MEANING_OF_CAUSE) == set(CauseKind)
    assert str(Trouble(CauseKind.BUDGET, "0.01 is left")).endswith("may be spent; 0.01 is left")
