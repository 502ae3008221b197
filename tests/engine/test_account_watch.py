"""The account needs no watch at an equity at which neither a limit is reached nor a peak changes."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocw_mcp.app.bench.fixtures import paper_config
from ocw_mcp.core.risk.counters import Drawdown
from ocw_mcp.domain.orders import FundingPaid, Side, Transferred
from ocw_mcp.domain.time import DAY
from ocw_mcp.engine.account import Account
from ocw_mcp.engine.effect_buffer import EffectBuffer

SYMBOL = "BTCUSDT"
CONFIG = paper_config((SYMBOL,))


def held(effects: EffectBuffer) -> Account:
    """Return an account with a position of half of its equity, which a price of 100 neither gains nor loses."""
    account = Account(CONFIG, effects)
    account.open_day(0)
    account.ledger.book(SYMBOL, Side.BUY, CONFIG.start_equity / 200, Decimal(100), Decimal(0), 0)
    return account


def seen(account: Account) -> object:
    return account.drawdown.state(), account.day.today, account.trading_state, account.version


@given(
    st.lists(
        st.one_of(
            st.integers(60, 140),
            st.integers(9_900, 10_100).map(lambda price: Decimal(price) / 100),
            st.sampled_from(["day", "resume", "deposit", "withdraw", "fund", "fee", "restart"]),
        ),
        max_size=60,
    )
)
def test_watch_of_prices_equals_the_whole_watch(events: list[int | Decimal | str]) -> None:
    effects = EffectBuffer(), EffectBuffer()
    quick, whole = (held(each) for each in effects)
    assert quick.watch() == whole.watch()
    for number, event in enumerate(events, 1):
        for account in (quick, whole):
            match event:
                case "day":
                    account.open_day(number * DAY)
                case "resume":
                    account.resume("the operator")
                case "deposit" | "withdraw":
                    amount = Decimal(500 if event == "deposit" else -500)
                    assert account.book_transfer(Transferred(f"t{number}", amount, number))
                case "fund":
                    assert account.book_funding(
                        FundingPaid(SYMBOL, Decimal(-20), Decimal("0.01"), Decimal(1), Decimal(100), number)
                    )
                case "fee":
                    account.activity.filled(Decimal(100), Decimal(40))
                    account.version += 1
                case "restart":
                    account.restore(account.state())
                case _:
                    account.ledger.mark(SYMBOL, Decimal(event))
        assert quick.watch_prices() == whole.watch()
        assert seen(quick) == seen(whole)
    assert effects[0].take() == effects[1].take()


def test_calm_prices_are_not_compared_with_the_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    account, watched = held(EffectBuffer()), list[Decimal]()

    def passes(drawdown: Drawdown, equity: Decimal) -> bool:
        watched.append(equity)
        return drawdown.watch(equity)

    monkeypatch.setattr(Drawdown, "passes", passes)
    for price in (100, 97, 98, 99, 97, 96, 98, 101, 100, 99):
        account.ledger.mark(SYMBOL, Decimal(price))
        assert account.watch_prices() == ""
    assert len(watched) == 6
