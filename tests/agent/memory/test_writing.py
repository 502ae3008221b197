"""How an entry is written, and what it costs."""

import asyncio
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from ocw_mcp.agent.causes import Trouble
from ocw_mcp.agent.credentials import Credentials
from ocw_mcp.agent.memory.facts import TradeFacts
from ocw_mcp.agent.memory.writing import (
    Draft,
    Writer,
    WritingTerms,
    Written,
    asked_for,
    day_number,
    parted,
    trade_number,
)
from ocw_mcp.agent.messages import Messages, Reply, Request, SdkMessages
from ocw_mcp.agent.pricing import TokenUsage, cost
from ocw_mcp.agent.prompts import compose
from ocw_mcp.app.policy_loader import load_policies, load_prompts
from ocw_mcp.domain.causes import CauseKind
from ocw_mcp.domain.money import ZERO
from ocw_mcp.domain.time import DAY, utc_day
from tests.support.agent import Scripted, calls, says
from tests.support.claude import KEY, MODEL, served_claude
from tests.support.memory import NOON, RISING, WRITER, trade

PROMPTS = compose(load_prompts(None).texts, load_policies(None).policies)
FACTS = TradeFacts(trade(), RISING, 7, "claude", thesis="{facts} {risk.max_share}")
TEXT = "It was late.\nIt fell back.\nLesson: Do not enter late."


def writer(messages: Messages, **terms: object) -> Writer:
    return Writer(messages, PROMPTS, "prompts", WritingTerms(model=WRITER, **terms))  # type: ignore[arg-type]


def drafted(one: Writer) -> Draft:
    return one.reflection(FACTS, ["earlier lesson: …"], NOON)


async def wrote(answer: Reply | Trouble, **terms: object) -> tuple[Draft, Written]:
    one = writer(Scripted(answer), **terms)
    draft = drafted(one)
    return draft, await one.write(draft, NOON)


async def test_an_entry_is_one_call_without_tools_and_what_it_used_is_counted() -> None:
    model = Scripted(says(TEXT))
    one = writer(model)
    draft = drafted(one)
    written = await one.write(draft, NOON)
    assert written == Written(
        "It was late.\nIt fell back.", "Do not enter late.", cost(TokenUsage(plain=100, output=10), WRITER, NOON)
    )
    assert 0 < written.cost_usd < draft.worst_usd
    (request,) = model.asked
    assert (request.wake, request.turn, set(request.body)) == (-2, 0, {"model", "max_tokens", "messages"})
    assert request.body["messages"][0]["content"][0]["text"] == draft.prompt


async def test_the_prompt_quotes_the_limits_and_what_is_filled_in_is_not_looked_at_again() -> None:
    prompt = drafted(writer(Scripted(says()))).prompt
    assert "0.01 of equity lost at its stop" in prompt
    assert '"{facts} {risk.max_share}"' in prompt
    assert "earlier lesson: …" in prompt


@pytest.mark.parametrize(
    ("answer", "cause", "billed"),
    [
        (Trouble(CauseKind.OVERLOADED), CauseKind.OVERLOADED, False),
        (Trouble(CauseKind.BAD_KEY), CauseKind.BAD_KEY, False),
        (Trouble(CauseKind.TIMEOUT), CauseKind.TIMEOUT, True),
        (Trouble(CauseKind.CONNECTION), CauseKind.CONNECTION, True),
        (Trouble(CauseKind.MALFORMED), CauseKind.MALFORMED, True),
    ],
)
async def test_a_call_that_fails_writes_nothing_and_counts_at_its_worst_where_it_may_be_billed(
    answer: Trouble, cause: CauseKind, billed: bool
) -> None:
    draft, written = await wrote(answer)
    assert written == Written("", "", draft.worst_usd if billed else ZERO, answer)


@pytest.mark.parametrize(
    ("answer", "cause"),
    [
        (says("I will not.", "refusal"), CauseKind.REFUSAL),
        (says("It was", "max_tokens"), CauseKind.CUT_OFF),
        (says("It was", "pause_turn"), CauseKind.MALFORMED),
        (says(" \n "), CauseKind.MALFORMED),
        (calls(("orders_place", {"symbol": "BTCUSDT"})), CauseKind.MALFORMED),
    ],
)
async def test_an_answer_that_is_none_writes_nothing_and_costs_what_it_cost(answer: Reply, cause: CauseKind) -> None:
    _, written = await wrote(answer)
    assert written.trouble is not None
    assert written.trouble.kind is cause
    assert (written.text, written.lesson) == ("", "")
    assert written.cost_usd == cost(answer.usage, WRITER, NOON)


async def test_an_answer_that_does_not_come_in_time_counts_at_its_worst() -> None:
    class Silent:
        async def create(self, request: Request) -> Reply | Trouble:
            await asyncio.Event().wait()
            raise AssertionError

    one = writer(Silent(), timeout_s=0.01)
    written = await one.write(drafted(one), NOON)
    assert written == Written("", "", drafted(one).worst_usd, Trouble(CauseKind.TIMEOUT, "not within 0.01 s"))


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        (TEXT, ("It was late.\nIt fell back.", "Do not enter late.")),
        ("It was late.", ("It was late.", "")),
        ("Lesson: Do not.", ("Do not.", "")),
        ("\n\nLesson: Do not.\n", ("Do not.", "")),
        ("Lesson: one\nand on", ("one\nand on", "")),
        ("It was.\nLesson:", ("It was.", "")),
        ("", ("", "")),
    ],
)
def test_a_lesson_is_the_last_line_where_it_says_so(text: str, parts: tuple[str, str]) -> None:
    assert parted(text) == parts


@given(st.lists(st.integers(1, 10**9), unique=True), st.lists(st.integers(0, 40_000), unique=True))
def test_trades_and_days_are_recorded_where_no_wake_is_each_in_its_own_place(
    orders: list[int], days: list[int]
) -> None:
    numbers = [*map(trade_number, orders), *(day_number(utc_day(day * DAY)) for day in days)]
    assert len(set(numbers)) == len(orders) + len(days)
    assert all(number < 0 for number in numbers)


async def test_it_is_written_over_a_real_socket() -> None:
    async with served_claude() as url:
        messages = SdkMessages(Credentials(url, SecretStr(KEY)))
        one = Writer(messages, PROMPTS, "prompts", WritingTerms(model=MODEL))
        draft = drafted(one)
        written = await one.write(draft, NOON)
        await messages.close()
    assert written.trouble is None
    assert written.text
    assert Decimal(0) < written.cost_usd < draft.worst_usd < WritingTerms(model=MODEL).usd_per_day


def test_what_a_number_stands_for_is_told_in_words() -> None:
    assert asked_for(7) == "wake 7"
    assert asked_for(trade_number(1)) == "the reflection on order 1"
    assert asked_for(day_number("2026-01-01")) == "the digest of 2026-01-01"
