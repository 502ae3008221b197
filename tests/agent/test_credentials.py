"""Credentials: where a key or token is sent, and that neither is ever shown."""

import json
from typing import Any

import pytest
from pydantic import SecretStr

from ocw_mcp.agent.client import API, REDACTED, Credentials, credentials, scrub
from ocw_mcp.agent.messages import Trouble
from ocw_mcp.domain.addresses import is_loopback
from ocw_mcp.domain.causes import CauseKind

KEY = SecretStr("plain-looking-secret-1234")
GATEWAY = "https://gateway.example.org/claude"


def test_api_key_is_sent_to_the_api_unless_a_gateway_is_configured() -> None:
    assert credentials(KEY) == Credentials(API, KEY)
    assert credentials(KEY, base_url=GATEWAY) == Credentials(GATEWAY, KEY)


def test_auth_token_is_used_only_with_a_gateway_and_without_an_api_key() -> None:
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
def test_error_for_unusable_credentials_has_no_secrets(given: dict[str, Any]) -> None:
    trouble = credentials(**given)
    assert isinstance(trouble, Trouble)
    assert trouble.kind is CauseKind.NO_KEY
    assert "secret" not in str(trouble)
    assert "pass" not in str(trouble)


@pytest.mark.parametrize("odd", ['gw"7\\x', "gw/7+x==", "gw:7 x", "gw-\u00fc7"])
def test_auth_token_with_special_characters_is_scrubbed(odd: str) -> None:
    given = Credentials(GATEWAY, auth_token=SecretStr(odd))
    for text in (odd, json.dumps({"said": odd}), json.dumps({"said": odd}, ensure_ascii=False)):
        assert given.scrub(text).strip('{"}').removeprefix('said": "') == REDACTED


@pytest.mark.parametrize("url", ["http://127.0.0.1:8000", "http://localhost", "http://[::1]:1"])
def test_api_key_may_be_sent_to_a_loopback_address(url: str) -> None:
    assert is_loopback(url)
    assert not is_loopback(API)
    assert credentials(KEY, base_url=url) == Credentials(url, KEY)


def test_credentials_are_not_in_their_repr() -> None:
    given = Credentials(GATEWAY, KEY, SecretStr("another-secret-5678"))
    for text in (repr(given), str(given), f"{given}", str([given])):
        assert "secret" not in text


def test_secrets_and_texts_that_look_like_secrets_are_scrubbed() -> None:
    given = Credentials(GATEWAY, KEY)
    said = (
        f"{KEY.get_secret_value()} sk-ant-api03-abc_DEF ocw_0123456789abcdefghij Authorization: Bearer abc.def-gh/i=="
    )
    assert given.scrub(said) == f"{REDACTED} {REDACTED} {REDACTED} Authorization: {REDACTED}"
    assert scrub("BTCUSDT 80000, bearer of news") == "BTCUSDT 80000, bearer of news"


def test_every_kind_of_cause_has_an_explanation() -> None:
    assert all(kind.meaning for kind in CauseKind)
    assert str(Trouble(CauseKind.BUDGET, "0.01 is left")).endswith("may be spent; 0.01 is left")
