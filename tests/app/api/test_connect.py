"""`connect`: a client of a running engine, over HTTP on a port of this machine."""

import socket
import threading
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from ocw_mcp import AttachError, EngineClient, connect
from ocw_mcp.adapters.control.address import Address, write_address
from tests.support.serving import Engine, Serving


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    serving = Serving(tmp_path_factory.mktemp("served"))
    yield serving.started()
    serving.stop()


@pytest.fixture
def client(engine: Engine) -> Iterator[EngineClient]:
    with connect(url=engine.url, token=engine.trades) as client:
        yield client


def test_client_reads_status_portfolio_and_snapshot(client: EngineClient) -> None:
    status = client.status()
    assert (status.meta.mode, status.meta.state, status.engine.agent) == ("paper", "ACTIVE", "test")
    assert client.portfolio().equity == "10000"
    assert [each.symbol for each in client.snapshot("ethusdt").symbols] == ["ETHUSDT"]
    assert (client.positions().positions, client.orders().orders, client.trades().trades) == ([], [], [])


def test_an_order_is_previewed_and_placed_once(client: EngineClient) -> None:
    last = client.snapshot("ETHUSDT").symbols[0].readings["last"]
    assert last is not None
    preview = client.preview("ETHUSDT", "BUY", size=Decimal("0.05"), stop=last * 0.97)
    assert preview.refusal is None
    placed = client.place(preview, "the range broke upwards")
    assert (placed.outcome, client.place(preview).order) == ("accepted", placed.order)
    assert client.orders("all").orders[0].by == "mcp:trade-1"


def test_order_beyond_a_limit_is_previewed_but_not_placed(client: EngineClient) -> None:
    last = client.snapshot("BTCUSDT").symbols[0].readings["last"]
    assert last is not None
    preview = client.preview("BTCUSDT", "BUY", size=1, stop=last * 0.97)
    assert preview.refusal is not None
    assert preview.refusal.startswith("ORDER_NOTIONAL: ")
    with pytest.raises(AttachError, match="this order would be refused, so it cannot be placed: ORDER_NOTIONAL"):
        client.place(preview)


def test_client_method_returns_a_refusal_instead_of_raising(client: EngineClient) -> None:
    closed = client.close("SOLUSDT", "there is nothing to close")
    assert closed.outcome == "refused"
    assert closed.refusal is not None
    assert closed.refusal.startswith("NO_POSITION: ")
    assert client.cancel("77-e-0").outcome == "refused"


def test_client_calls_any_tool_of_the_engine_by_name(client: EngineClient) -> None:
    assert client.call("journal_get", about="desk")["total"] > 0
    assert client.call("market_get_candles", symbol="ETHUSDT", limit=3)["columns"][0] == "opened"


def test_client_reads_the_routes_of_the_status_api(client: EngineClient) -> None:
    status = client.status()
    decided = client.decisions(limit=1)
    assert len(decided.decisions) == 1
    assert client.wake(decided.decisions[0].wake).wake == decided.decisions[0].wake
    older = client.decisions(limit=1, cursor=decided.cursor)
    assert older.decisions[0].wake < decided.decisions[0].wake
    assert client.decisions(acted=True).decisions == []
    assert [each.symbol for each in client.feed().symbols] == status.engine.symbols
    assert client.prices("ethusdt", "15m", limit=3).rows[-1][0] == "2026-01-01T01:45:00Z"
    assert client.equity().points[0].equity == "10000"
    assert [each.at for each in client.equity("1h").points] == ["2026-01-01T01:00:00Z", status.meta.as_of]
    assert all(each.symbol == "BTCUSDT" for each in client.refusals("BTCUSDT").refusals)


def test_wrong_parameter_of_a_route_raises_an_error_with_a_code(client: EngineClient) -> None:
    calls: dict[str, Callable[[], object]] = {
        "BAD_CURSOR": lambda: client.decisions(cursor="newest"),
        "UNKNOWN_TIMEFRAME": lambda: client.equity("7m"),
        "UNKNOWN_SYMBOL": lambda: client.prices("NO SUCH?&limit=1#"),
        "UNKNOWN_ID": lambda: client.wake(999_999),
        "BAD_ARGUMENTS": lambda: client.refusals(limit=0),
        "NOT_FOUND": lambda: client.prices("ETH/USDT"),
    }
    for code, call in calls.items():
        with pytest.raises(AttachError, match=f"^{code}: ") as refused:
            call()
        assert refused.value.code == code


@pytest.mark.parametrize(
    ("symbol", "code"), [("FOOUSDT", "UNKNOWN_SYMBOL"), ("E" * 100, "UNKNOWN_SYMBOL"), ("", "UNKNOWN_SYMBOL")]
)
def test_unknown_symbol_raises_an_error_with_a_code(client: EngineClient, symbol: str, code: str) -> None:
    with pytest.raises(AttachError) as refused:
        client.snapshot(symbol)
    assert refused.value.code == code
    assert str(refused.value).startswith(f"{code}: ")


def test_wrong_argument_raises_an_error_with_a_code(client: EngineClient) -> None:
    with pytest.raises(AttachError, match="BAD_ARGUMENTS: ") as refused:
        client.preview("ETHUSDT", "YOLO")
    assert refused.value.code == "BAD_ARGUMENTS"


@pytest.mark.parametrize("stop", [float("nan"), float("inf"), Decimal("NaN")])
def test_client_refuses_a_preview_whose_stop_is_not_finite(client: EngineClient, stop: float | Decimal) -> None:
    with pytest.raises(AttachError, match=r"stop is .*; expected a finite number"):
        client.preview("ETHUSDT", "BUY", size=0.05, stop=stop)


def test_client_refuses_a_leg_whose_stop_is_not_finite(client: EngineClient) -> None:
    leg = {"symbol": "ETHUSDT", "action": "BUY", "size": Decimal("0.05"), "stop": float("nan")}
    with pytest.raises(AttachError, match=r"legs\[0\].stop is nan; expected a finite number"):
        client.call("decisions_submit", wake=1, legs=[leg])


def test_client_with_read_token_cannot_halt_the_engine(engine: Engine) -> None:
    with connect(url=f"{engine.url}/mcp", token=engine.reads) as client:
        assert client.status().meta.mode == "paper"
        with pytest.raises(AttachError, match="FORBIDDEN: "):
            client.halt()


def test_unknown_access_token_is_refused_with_a_code(engine: Engine) -> None:
    with pytest.raises(AttachError, match="UNAUTHORIZED: the engine does not accept the token") as refused:
        connect(url=engine.url, token="made up")
    assert refused.value.code == "UNAUTHORIZED"


UNUSABLE = {
    "BUSY": b'HTTP/1.1 503 No\r\ncontent-length: 28\r\n\r\n{"error": "BUSY: too much."}',
    "BAD_ANSWER": b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\n<html>",
    "ENGINE_STOPPED": b"",
}


@pytest.mark.parametrize("code", UNUSABLE)
def test_invalid_http_response_raises_an_error_with_a_code(code: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with server.accept()[0] as connection:
                connection.recv(65_536)
                connection.sendall(UNUSABLE[code])

        thread = threading.Thread(target=serve)
        thread.start()
        with pytest.raises(AttachError, match=f"^{code}: ") as raised:
            connect(url=f"http://127.0.0.1:{server.getsockname()[1]}", token="t")
        thread.join()
    assert raised.value.code == code


def test_connect_finds_the_engine_of_a_state_directory(engine: Engine, tmp_path: Path) -> None:
    write_address(tmp_path, Address(engine.url, engine.trades, 0))
    with connect(tmp_path) as client:
        assert client.status().meta.mode == "paper"
    with connect(str(tmp_path)) as client:
        assert client.status().open_positions == len(client.positions().positions)


def test_error_for_an_empty_book_shows_how_to_start_one(tmp_path: Path) -> None:
    with pytest.raises(AttachError) as refused:
        connect(tmp_path)
    assert str(refused.value) == (
        f"no engine is served from {tmp_path}; start one: ocw run --market sim --speed 1 --serve 127.0.0.1:0 "
        f"--state {tmp_path}"
    )


def test_error_for_a_stopped_engine_shows_how_to_start_one(tmp_path: Path) -> None:
    write_address(tmp_path, Address("http://127.0.0.1:9", "token", 0))
    with pytest.raises(AttachError, match=r"no engine answers at http://127\.0\.0\.1:9; start one: ocw run "):
        connect(tmp_path)


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ({"url": "http://127.0.0.1:9"}, "a state directory, or a url with a token"),
        ({"token": "t"}, "a state directory, or a url with a token"),
        ({"state": "desk", "url": "http://127.0.0.1:9", "token": "t"}, "a state directory, or a url with a token"),
        ({"url": "http://desk.example.org", "token": "t"}, "is not an address to which a token may be sent"),
    ],
)
def test_connect_requires_a_directory_or_a_url_with_a_token(arguments: dict[str, str], why: str) -> None:
    with pytest.raises(AttachError, match=why):
        connect(**arguments)


def test_disconnected_client_raises_an_error(engine: Engine) -> None:
    client = connect(url=engine.url, token=engine.reads)
    client.disconnect()
    client.disconnect()
    with pytest.raises(AttachError, match="this client was disconnected; connect again"):
        client.status()


async def test_client_works_inside_a_running_event_loop(engine: Engine) -> None:
    with connect(url=engine.url, token=engine.reads) as client:
        assert client.status().meta.mode == "paper"


def test_halt_method_of_a_client_halts_the_engine(tmp_path: Path) -> None:
    serving = Serving(tmp_path)
    engine = serving.started()
    try:
        with connect(url=engine.url, token=engine.trades) as client:
            assert client.halt("enough for today").outcome == "done"
            assert client.status().meta.state == "HALTED"
    finally:
        serving.stop()
