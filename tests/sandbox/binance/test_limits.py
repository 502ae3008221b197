"""Weights, refusals and bans of the sandbox exchange, per IP address."""

import json

import pytest

from ocw_mcp.domain.market import Product
from ocw_mcp.domain.time import DAY, HOUR, MINUTE, SECOND
from ocw_mcp.sandbox.binance.exchange import Exchange, Request, Response
from ocw_mcp.sandbox.binance.limits import DATA_LIMIT, FIRST_BAN, FUNDING_LIMIT, LONGEST_BAN, TOLERATED
from tests.support.sandbox_market import DAY_1, get, simulated

NOW = DAY_1 + 2 * HOUR
"""The beginning of a minute."""
BTC = {"symbol": "BTCUSDT"}


def exchange(product: Product = Product.UM) -> Exchange:
    return Exchange(simulated(product))


def used(response: Response) -> int:
    return int(response.headers.get("X-MBX-USED-WEIGHT-1M") or response.headers["x-mbx-used-weight-1m"])


def spend(sandbox: Exchange, at: int = NOW, ip: str = "127.0.0.1") -> Response:
    """Send requests of weight 40 on futures, or 80 on spot, until one is refused; return its response."""
    path = "/fapi/v1/ticker/24hr" if sandbox.market.product is Product.UM else "/api/v3/ticker/24hr"
    for _ in range(100):
        response = sandbox.handle(Request("GET", path, ip=ip), at)
        if response.status != 200:
            return response
    raise AssertionError("no request was refused")


def message(response: Response) -> str:
    error = json.loads(response.body)
    assert error["code"] == -1003
    return str(error["msg"])


@pytest.mark.parametrize(
    ("product", "path", "query", "weight"),
    [
        (Product.UM, "/fapi/v1/ping", {}, 1),
        (Product.UM, "/fapi/v1/exchangeInfo", {}, 1),
        (Product.UM, "/fapi/v1/klines", {**BTC, "interval": "1m", "limit": "99"}, 1),
        (Product.UM, "/fapi/v1/klines", {**BTC, "interval": "1m", "limit": "100"}, 2),
        (Product.UM, "/fapi/v1/klines", {**BTC, "interval": "1m"}, 5),
        (Product.UM, "/fapi/v1/klines", {**BTC, "interval": "1m", "limit": "1000"}, 5),
        (Product.UM, "/fapi/v1/klines", {**BTC, "interval": "1m", "limit": "1001"}, 10),
        (Product.UM, "/fapi/v1/depth", {**BTC, "limit": "50"}, 2),
        (Product.UM, "/fapi/v1/depth", {**BTC, "limit": "100"}, 5),
        (Product.UM, "/fapi/v1/depth", BTC, 10),
        (Product.UM, "/fapi/v1/depth", {**BTC, "limit": "1000"}, 20),
        (Product.UM, "/fapi/v1/premiumIndex", BTC, 1),
        (Product.UM, "/fapi/v1/premiumIndex", {}, 10),
        (Product.UM, "/fapi/v1/ticker/bookTicker", BTC, 2),
        (Product.UM, "/fapi/v1/ticker/bookTicker", {}, 5),
        (Product.UM, "/fapi/v1/aggTrades", BTC, 20),
        (Product.UM, "/futures/data/openInterestHist", {**BTC, "period": "5m"}, 0),
        (Product.UM, "/fapi/v1/fundingRate", BTC, 0),
        (Product.SPOT, "/api/v3/exchangeInfo", {}, 20),
        (Product.SPOT, "/api/v3/klines", {**BTC, "interval": "1m", "limit": "1000"}, 2),
        (Product.SPOT, "/api/v3/depth", {**BTC, "limit": "5000"}, 250),
        (Product.SPOT, "/api/v3/ticker/24hr", {"symbols": '["BTCUSDT","ETHUSDT"]'}, 2),
        (Product.SPOT, "/api/v3/ticker/24hr", {}, 80),
        (Product.UM, "/fapi/v1/unheard", {}, 1),
    ],
)
def test_a_request_uses_its_documented_weight(product: Product, path: str, query: dict[str, str], weight: int) -> None:
    sandbox = exchange(product)
    before = used(get(sandbox, "/fapi/v1/ping" if product is Product.UM else "/api/v3/ping", NOW))
    assert used(get(sandbox, path, NOW, **query)) - before == weight


def test_a_refused_parameter_costs_the_weight_too() -> None:
    sandbox = exchange()
    assert used(get(sandbox, "/fapi/v1/klines", NOW, symbol="NONE", interval="1m")) == 5


def test_a_spent_minute_answers_429_until_the_next_minute() -> None:
    sandbox = exchange()
    response = spend(sandbox)
    assert response.status == 429
    assert "current limit of IP(127.0.0.1) is 2400 requests per minute" in message(response)
    assert used(response) == 2440
    assert "Retry-After" not in response.headers
    assert get(sandbox, "/fapi/v1/time", NOW + MINUTE - 1).status == 429
    assert used(get(sandbox, "/fapi/v1/time", NOW + MINUTE)) == 1


def test_spot_says_how_long_to_wait_after_429() -> None:
    response = spend(exchange(Product.SPOT), NOW + 20 * SECOND)
    assert response.status == 429
    assert response.headers["Retry-After"] == "40"
    assert "current limit is 6000 request weight per 1 MINUTE" in message(response)


def test_an_address_that_goes_on_after_429_is_banned() -> None:
    sandbox = exchange()
    spend(sandbox)
    answers = [get(sandbox, "/fapi/v1/ping", NOW + SECOND).status for _ in range(TOLERATED + 1)]
    assert answers == [429] * TOLERATED + [418]
    response = get(sandbox, "/fapi/v1/ping", NOW + 2 * SECOND)
    until = NOW + SECOND + FIRST_BAN
    assert response.status == 418
    assert f"banned until {until}" in message(response)
    assert get(sandbox, "/futures/data/openInterestHist", until - 1, **BTC, period="5m").status == 418
    assert get(sandbox, "/fapi/v1/ping", until).status == 200


def test_each_further_ban_is_longer_up_to_three_days() -> None:
    sandbox, at, lengths = exchange(), NOW, []
    for _ in range(14):
        spend(sandbox, at)
        while (response := get(sandbox, "/fapi/v1/ping", at)).status == 429:
            pass
        until = int(message(response).partition("until ")[2].partition(".")[0])
        lengths.append(until - at)
        at = until
    assert lengths[:3] == [FIRST_BAN, 2 * FIRST_BAN, 4 * FIRST_BAN]
    assert lengths[-2:] == [LONGEST_BAN, LONGEST_BAN]


def test_a_ban_on_spot_has_the_seconds_to_its_end() -> None:
    sandbox = exchange(Product.SPOT)
    sandbox.ban("127.0.0.1", NOW + 90 * SECOND + 1)
    response = get(sandbox, "/api/v3/ping", NOW)
    assert (response.status, response.headers["Retry-After"]) == (418, "91")
    assert f"IP banned until {NOW + 90 * SECOND + 1}" in message(response)


def test_a_ban_of_one_address_leaves_the_others_free() -> None:
    sandbox = exchange()
    sandbox.ban("127.0.0.1", NOW + DAY)
    assert sandbox.handle(Request("GET", "/fapi/v1/time", ip="127.0.0.1"), NOW).status == 418
    assert sandbox.handle(Request("GET", "/fapi/v1/time", ip="10.0.0.2"), NOW).status == 200
    spend(sandbox, ip="10.0.0.3")
    assert used(sandbox.handle(Request("GET", "/fapi/v1/time", ip="10.0.0.2"), NOW)) == 2


@pytest.mark.parametrize(
    ("path", "query", "limit"),
    [
        ("/futures/data/topLongShortAccountRatio", {**BTC, "period": "1d", "limit": "1"}, DATA_LIMIT),
        ("/fapi/v1/fundingRate", {**BTC, "limit": "1"}, FUNDING_LIMIT),
    ],
)
def test_paths_with_an_own_limit_count_requests_of_five_minutes(path: str, query: dict[str, str], limit: int) -> None:
    sandbox = exchange()
    statuses = [get(sandbox, path, NOW + MINUTE, **query).status for _ in range(limit + 1)]
    assert statuses == [200] * limit + [429]
    assert get(sandbox, "/fapi/v1/time", NOW + MINUTE).status == 200
    assert get(sandbox, path, NOW + 5 * MINUTE - 1, **query).status == 429
    assert get(sandbox, path, NOW + 5 * MINUTE, **query).status == 200
