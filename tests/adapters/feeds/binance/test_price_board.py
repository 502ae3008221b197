"""The newest prices, once a tick; between two ticks only those that cross a watched level."""

from ocw_mcp.adapters.feeds.binance.board import Board
from tests.support.scripted_market import BEGIN


def board(**options: int) -> Board:
    return Board(["ETHUSDT", "BTCUSDT"], has_marks=True, **options)


def test_slow_consumer_gets_the_newest_values_once() -> None:
    made = board()
    for number in range(100):
        made.set_quote("BTCUSDT", number, 100 + number, 1, 101 + number, 2, BEGIN + number, BEGIN + number)
        made.set_mark("BTCUSDT", 100.5 + number, 0.0001, BEGIN + 9_999, BEGIN + number, BEGIN + number)
    (mark,), (book,) = made.take(BEGIN + 500)
    assert (mark.price, mark.funding_rate, mark.next_funding_at, mark.last) == (199.5, 0.0001, BEGIN + 9_999, None)
    assert (book.bid, book.ask, book.bid_depth, book.ask_depth, book.at) == (199, 200, 1, 2, BEGIN + 99)
    assert (book.bid_quantity, book.ask_quantity) == (1, 2), "what the paper venue fills at the best prices"
    assert made.take(BEGIN + 500) == ((), ())


def test_values_wait_for_the_next_tick() -> None:
    made = board()
    made.set_mark("BTCUSDT", 100, 0, BEGIN, BEGIN, BEGIN)
    assert len(made.take(BEGIN)[0]) == 1
    made.set_mark("BTCUSDT", 101, 0, BEGIN, BEGIN + 100, BEGIN + 100)
    assert not made.ready(BEGIN + 999)
    assert made.next_tick(BEGIN + 999) == BEGIN + 1_000
    assert [each.price for each in made.take(BEGIN + 1_000)[0]] == [101]
    assert made.next_tick(BEGIN + 1_000) is None


def test_crossing_is_kept_even_if_the_price_returns() -> None:
    made = board()
    made.watch({"BTCUSDT": (95.0, 110.0)})
    made.set_mark("BTCUSDT", 100, 0, BEGIN, BEGIN, BEGIN)
    made.take(BEGIN)
    for number, price in enumerate((96, 94.9, 93, 101)):
        made.set_mark("BTCUSDT", price, 0, BEGIN, BEGIN + number + 1, BEGIN + number + 1)
    assert made.ready(BEGIN + 10)
    assert [each.price for each in made.take(BEGIN + 10)[0]] == [94.9]
    assert not made.ready(BEGIN + 10)
    assert [each.price for each in made.take(BEGIN + 1_000)[0]] == [101]


def test_price_beyond_a_level_crosses_it_only_once() -> None:
    made = board()
    made.watch({"BTCUSDT": (95.0, 110.0)})
    made.set_mark("BTCUSDT", 94, 0, BEGIN, BEGIN, BEGIN)
    made.take(BEGIN)
    made.take(BEGIN + 1)
    for number in range(50):
        made.set_mark("BTCUSDT", 94 - number / 100, 0, BEGIN, BEGIN + 2 + number, BEGIN + 2 + number)
    assert not made.ready(BEGIN + 60)


def test_quotes_and_last_prices_cross_levels_too() -> None:
    made = board()
    made.watch({"ETHUSDT": (95.0, 110.0)})
    made.set_mark("ETHUSDT", 100, 0, BEGIN, BEGIN, BEGIN)
    made.set_quote("ETHUSDT", 1, 99, 1, 100, 1, BEGIN, BEGIN)
    made.take(BEGIN)
    made.set_quote("ETHUSDT", 2, 109, 1, 110.5, 1, BEGIN + 5, BEGIN + 5)
    assert [each.ask for each in made.take(BEGIN + 6)[1]] == [110.5]
    made.set_quote("ETHUSDT", 3, 110, 1, 111, 1, BEGIN + 7, BEGIN + 7)
    assert [each.bid for each in made.take(BEGIN + 8)[1]] == [110]
    made.set_last("ETHUSDT", 94.0, BEGIN + 9, BEGIN + 9)
    assert [(each.price, each.last) for each in made.take(BEGIN + 10)[0]] == [(100, 94.0)]


def test_level_that_is_set_beyond_the_price_is_crossed_at_once() -> None:
    made = board()
    made.set_mark("BTCUSDT", 100, 0, BEGIN, BEGIN, BEGIN)
    made.take(BEGIN)
    made.watch({"BTCUSDT": (101.0, 200.0)})
    assert [each.price for each in made.take(BEGIN + 1)[0]] == [100]


def test_levels_that_are_set_again_are_not_crossed_again() -> None:
    """A consumer sets its levels after each frame: a price beyond one of them must not cause frames without end."""
    made = board()
    made.set_mark("BTCUSDT", 100, 0, BEGIN, BEGIN, BEGIN)
    made.set_quote("BTCUSDT", 1, 99.9, 1, 100.1, 1, BEGIN, BEGIN)
    made.take(BEGIN)
    made.watch({"BTCUSDT": (99.95, 200.0)})
    assert len(made.take(BEGIN + 1)[1]) == 1
    made.watch({"BTCUSDT": (99.95, 200.0)})
    assert not made.ready(BEGIN + 2)
    made.watch({"BTCUSDT": (99.96, 200.0)})
    assert made.ready(BEGIN + 3)


def test_older_values_do_not_replace_newer_ones() -> None:
    made = board()
    assert made.set_quote("BTCUSDT", 10, 100, 1, 101, 1, BEGIN, BEGIN)
    assert not made.set_quote("BTCUSDT", 9, 90, 1, 91, 1, BEGIN + 1, BEGIN + 1)
    assert not made.set_quote("BTCUSDT", 10, 90, 1, 91, 1, BEGIN + 1, BEGIN + 1)
    assert made.set_mark("BTCUSDT", 100, 0, BEGIN, BEGIN, BEGIN)
    assert not made.set_mark("BTCUSDT", 90, 0, BEGIN, BEGIN - 1, BEGIN + 1)
    assert not made.set_mark("BTCUSDT", 90, 0, BEGIN, BEGIN - 60_000, BEGIN + 1)
    (mark,), (book,) = made.take(BEGIN + 1)
    assert (mark.price, book.bid) == (100, 100)


def test_numbers_that_begin_anew_are_taken_after_some_seconds() -> None:
    made = board()
    made.set_quote("BTCUSDT", 10**12, 100, 1, 101, 1, BEGIN, BEGIN)
    assert made.set_quote("BTCUSDT", 1, 90, 1, 91, 1, BEGIN + 5_000, BEGIN + 5_000)


def test_mark_price_of_spot_is_the_last_price() -> None:
    made = Board(["BTCUSDT"], has_marks=False)
    made.set_last("BTCUSDT", 100.0, BEGIN, BEGIN)
    (mark,), _ = made.take(BEGIN)
    assert (mark.price, mark.last, mark.funding_rate) == (100.0, 100.0, None)
