"""The candle store gives each candle of the source once and in order, whatever the streams do."""

from collections import defaultdict

from hypothesis import given
from hypothesis import strategies as st

from ocw_mcp.adapters.feeds.binance.candles import Added, CandleStore, candle_fault
from ocw_mcp.domain.market import Candle
from ocw_mcp.domain.time import MINUTE, SECOND
from tests.support.scripted_market import BEGIN, source_candle

LENGTH = 12
PATIENCE = SECOND


def at(minute: int) -> int:
    return BEGIN + minute * MINUTE


def expected(symbols: list[str], known: set[tuple[str, int]], proved: dict[str, int]) -> dict[str, list[int]]:
    """The oracle: a symbol's candles up to the first that is neither known nor shown by REST to be absent."""
    wanted: dict[str, list[int]] = {}
    for symbol in symbols:
        wanted[symbol] = []
        for minute in range(LENGTH):
            if (symbol, minute) in known:
                wanted[symbol].append(at(minute))
            elif minute >= proved.get(symbol, 0):
                break
    return wanted


events = st.one_of(
    st.tuples(st.just("stream"), st.sampled_from(["A", "B"]), st.integers(0, LENGTH - 1)),
    st.tuples(st.just("rest"), st.sampled_from(["A", "B"]), st.integers(0, LENGTH - 1)),
    st.tuples(st.just("take"), st.just(""), st.integers(0, LENGTH)),
)


@given(st.lists(events, max_size=60), st.sets(st.integers(0, LENGTH - 1), max_size=3))
def test_any_order_gives_each_candle_once_and_in_order(steps: list[tuple[str, str, int]], holes: set[int]) -> None:
    """`holes` are minutes that the exchange has not; a REST answer covers everything up to its minute."""
    names = {"A": "BTCUSDT", "B": "ETHUSDT"}
    store = CandleStore(list(names.values()), MINUTE)
    for symbol in names.values():
        store.begin(symbol, at(0))
    given_out: dict[str, list[int]] = defaultdict(list)
    known: set[tuple[str, int]] = set()
    proved: dict[str, int] = {}
    closes: list[int] = []

    def take(now: int) -> None:
        for released in store.take(now, PATIENCE):
            closes.append(released.closed_at)
            assert list(released.candles) == sorted(released.candles, key=lambda each: each.symbol)
            for candle in released.candles:
                assert candle.close_time == released.closed_at
                assert candle == source_candle(candle.symbol, candle.open_time)
                given_out[candle.symbol].append(candle.open_time)

    for kind, letter, minute in steps:
        if kind == "take":
            take(at(minute))
            continue
        symbol = names[letter]
        span = [minute] if kind == "stream" else range(minute + 1)
        for each in span:
            if each not in holes:
                added = store.add(source_candle(symbol, at(each)))
                assert (added is Added.REPEATED) == ((symbol, each) in known or each < proved.get(symbol, 0))
                if each >= proved.get(symbol, 0):
                    known.add((symbol, each))
        if kind == "rest" and minute not in holes:
            store.set_absent(symbol, at(0), at(minute))
            proved[symbol] = max(minute, proved.get(symbol, 0))
    take(at(LENGTH + 60))
    wanted = expected(list(names.values()), known, proved)
    assert {symbol: given_out[symbol] for symbol in names.values()} == wanted


def test_candles_of_one_close_are_released_together() -> None:
    store = CandleStore(["BTCUSDT", "ETHUSDT"], MINUTE)
    for symbol in ("BTCUSDT", "ETHUSDT"):
        store.begin(symbol, at(0))
    store.add(source_candle("ETHUSDT", at(0)))
    assert list(store.take(at(1) + 999, PATIENCE)) == []
    store.add(source_candle("BTCUSDT", at(0)))
    (released,) = store.take(at(1) + 999, PATIENCE)
    assert [each.symbol for each in released.candles] == ["BTCUSDT", "ETHUSDT"]


def test_straggler_follows_at_the_same_close() -> None:
    store = CandleStore(["BTCUSDT", "ETHUSDT"], MINUTE)
    for symbol in ("BTCUSDT", "ETHUSDT"):
        store.begin(symbol, at(0))
    store.add(source_candle("ETHUSDT", at(0)))
    first = list(store.take(at(1) + PATIENCE, PATIENCE))
    store.add(source_candle("BTCUSDT", at(0)))
    second = list(store.take(at(1) + 3 * SECOND, PATIENCE))
    assert [(each.closed_at, each.candles[0].symbol) for each in first + second] == [
        (at(1), "ETHUSDT"),
        (at(1), "BTCUSDT"),
    ]


def test_other_symbols_wait_while_one_catches_up() -> None:
    store = CandleStore(["BTCUSDT", "ETHUSDT"], MINUTE)
    for symbol in ("BTCUSDT", "ETHUSDT"):
        store.begin(symbol, at(0))
    store.add(source_candle("ETHUSDT", at(0)))
    assert list(store.take(at(5), PATIENCE, held={"BTCUSDT"})) == []
    assert len(list(store.take(at(5), PATIENCE))) == 1


def test_closed_candle_is_final_and_other_values_are_a_conflict() -> None:
    store = CandleStore(["BTCUSDT"], MINUTE)
    store.begin("BTCUSDT", at(0))
    right, other = source_candle("BTCUSDT", at(0)), source_candle("BTCUSDT", at(1))
    wrong = Candle("BTCUSDT", at(0), MINUTE, other.open, other.high, other.low, other.close, other.volume)
    assert store.add(right) is Added.NEW
    assert store.add(wrong) is Added.CONFLICT
    (released,) = store.take(at(1), PATIENCE)
    assert released.candles == (right,)
    assert store.add(wrong) is Added.CONFLICT
    assert store.add(right) is Added.REPEATED
    assert list(store.take(at(9), PATIENCE)) == []


def test_missing_candles_are_found_between_known_ones() -> None:
    store = CandleStore(["BTCUSDT"], MINUTE)
    store.begin("BTCUSDT", at(0))
    for minute in (0, 3, 4):
        store.add(source_candle("BTCUSDT", at(minute)))
    assert store.missing("BTCUSDT", at(5)) == (at(1), at(2))
    assert store.missing("BTCUSDT", at(1)) is None
    assert store.lacking(at(2)) == ["BTCUSDT"]


def test_waiting_candles_are_bounded() -> None:
    store = CandleStore(["BTCUSDT"], MINUTE)
    store.begin("BTCUSDT", at(0))
    outcomes = [store.add(source_candle("BTCUSDT", at(minute))) for minute in range(1, 2_000)]
    assert outcomes.count(Added.NEW) == 1_500
    assert store.add(source_candle("BTCUSDT", at(0))) is Added.NEW
    assert len(list(store.take(at(3_000), PATIENCE))) == 1_501
    assert store.missing("BTCUSDT", at(2_000)) == (at(1_501), at(1_999))


def test_inconsistent_candles_are_named() -> None:
    good = source_candle("BTCUSDT", at(0))
    values = (good.open, good.high, good.low, good.close, good.volume, good.taker_volume)
    assert candle_fault(good) is None
    for place, value in ((0, float("nan")), (1, 1.0), (2, 0.0), (3, float("inf")), (4, -1.0), (5, 1e9)):
        changed = [*values[:place], value, *values[place + 1 :]]
        assert candle_fault(Candle("BTCUSDT", at(0), MINUTE, *changed)) is not None  # type: ignore[arg-type]
    assert candle_fault(Candle("BTCUSDT", at(0) + 1, MINUTE, *values)) is not None
