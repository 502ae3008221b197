"""`ocw sandbox binance`: options that are refused, each with its reason."""

import socket
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.shell import Ocw


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--speed", "0"), "--speed is 0; expected more than 0"),
        (("--speed", "nan"), "--speed is nan"),
        (("--product", "coin"), "--product is 'coin'; expected spot or um"),
        (("--start", "soon"), "--start is 'soon'; expected now, or a time such as"),
        (("--start", "2026-03-01T12:00"), "without a time zone; write 2026-03-01T12:00Z"),
        (("--start", "1960-01-01"), "expected a start"),
        (("--seed", "-1"), "seed"),
        (("--market", "no/such/tape"), "tape does not exist"),
        (("--faults", "no/such/script.toml"), "no/such/script.toml cannot be read"),
    ],
)
def test_invalid_option_is_refused_with_its_reason(ocw: Ocw, arguments: tuple[str, str], said: str) -> None:
    ended = ocw("sandbox", "binance", *arguments)
    assert ended.code == 2
    assert said in ended.err


def test_invalid_script_is_refused_with_all_its_problems(ocw: Ocw, tmp_path: Path) -> None:
    script = tmp_path / "bad.toml"
    script.write_text('[[fault]]\nkind = "mut"\n\n[[fault]]\nkind = "drop"\n')
    ended = ocw("sandbox", "binance", "--faults", script)
    assert ended.code == 2
    assert "bad.toml: fault 1 (line 1): kind is 'mut'" in ended.err
    assert "bad.toml: fault 2 (line 4): at is missing" in ended.err


def test_fault_of_a_symbol_that_is_not_served_is_refused(ocw: Ocw, tmp_path: Path) -> None:
    script = tmp_path / "other.toml"
    script.write_text('[[fault]]\nat = "1m"\nkind = "filters"\nsymbol = "XRPUSDT"\ntick = "1"\n')
    ended = ocw("sandbox", "binance", "--symbols", "btcusdt", "--faults", script)
    assert ended.code == 2
    assert "unknown symbol; expected one of BTCUSDT" in ended.err


def test_used_port_is_refused(ocw: Ocw) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        ended = ocw("sandbox", "binance", "--symbols", "BTCUSDT", "--port", str(taken.getsockname()[1]))
    assert ended.code == 2
    assert "cannot listen on" in ended.err
