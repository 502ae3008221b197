"""Writing a diary entry: the request, the result and the cost."""

import asyncio
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from ocw_mcp.agent.client import Credentials, SdkMessages
from ocw_mcp.agent.memory.writer import Draft, TradeFacts, Writer, WriterTerms, Written, split_lesson
from ocw_mcp.agent.messages import Messages, Reply, Request, Trouble, digest_number, reflection_number, request_name
from ocw_mcp.agent.pricing import TokenUsage, cost
from ocw_mcp.agent.prompts import Prompts
from ocw_mcp.app.policy_loader import load_policies, load_prompts
from ocw_mcp.domain.causes import CauseKind
from ocw_mcp.domain.decision import Action, Leg
from ocw_mcp.domain.money import ZERO
from ocw_mcp.domain.time import DAY, utc_day
from tests.support.agent import ScriptedModel, calls, says
from tests.support.claude import KEY, MODEL, served_claude
from tests.support.memory import NOON, RISING, WRITER, trade

PROMPTS = Prompts(load_prompts(None).texts, load_policies(None).policies)
LEG = Leg("BTCUSDT", Action.BUY, reasoning="{facts} {risk.max_share}")
FACTS = TradeFacts(trade(), RISING, 7, "claude", LEG)
TEXT = "It was late.\nIt fell back.\nLesson: Do not enter late."


def writer(messages: Messages, **terms: object) -> Writer:
    return Writer(messages, PROMPTS, "prompts", WriterTerms(model=WRITER, **terms))  # type: ignore[arg-type]


def drafted(one: Writer) -> Draft:
    return one.draft(reflection_number(1), "reflect", [*FACTS.lines(), "earlier lesson: …"], NOON)


def prompt_of(draft: Draft) -> str:
    (turn,) = draft.request.body["messages"]
    return str(turn["content"][0]["text"])


async def wrote(answer: Reply | Trouble, **terms: object) -> tuple[Draft, Written]:
    one = writer(ScriptedModel(answer), **terms)
    draft = drafted(one)
    return draft, await one.write(draft, NOON)


async def test_diary_entry_is_written_in_one_call_without_tools() -> None:
    model = ScriptedModel(says(TEXT))
    one = writer(model)
    draft = drafted(one)
    written = await one.write(draft, NOON)
    assert written == Written(
        "It was late.\nIt fell back.", "Do not enter late.", cost(TokenUsage(plain=100, output=10), WRITER, NOON)
    )
    assert 0 < written.cost_usd < draft.worst_usd
    (request,) = model.requests
    assert (request.wake, request.turn, set(request.body)) == (-2, 0, {"model", "max_tokens", "messages"})
    assert request.body["messages"][0]["content"][0]["text"] == prompt_of(draft)


async def test_diary_prompt_fills_in_limits_but_no_braces_within_facts() -> None:
    prompt = prompt_of(drafted(writer(ScriptedModel(says()))))
    assert "may lose at most 0.01 of equity at its stop" in prompt
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
async def test_failed_diary_call_costs_its_worst_case_if_it_may_be_billed(
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
async def test_unusable_diary_answer_is_billed_and_gives_no_entry(answer: Reply, cause: CauseKind) -> None:
    _, written = await wrote(answer)
    assert written.trouble is not None
    assert written.trouble.kind is cause
    assert (written.text, written.lesson) == ("", "")
    assert written.cost_usd == cost(answer.usage, WRITER, NOON)


async def test_diary_call_that_times_out_costs_its_worst_case() -> None:
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
def test_lesson_in_the_last_line_is_split_from_the_reflection(text: str, parts: tuple[str, str]) -> None:
    assert split_lesson(text) == parts


@given(st.lists(st.integers(1, 10**9), unique=True), st.lists(st.integers(0, 40_000), unique=True))
def test_request_numbers_of_diary_entries_are_negative_and_unique(orders: list[int], days: list[int]) -> None:
    numbers = [*map(reflection_number, orders), *(digest_number(utc_day(day * DAY)) for day in days)]
    assert len(set(numbers)) == len(orders) + len(days)
    assert all(number < 0 for number in numbers)


async def test_diary_entry_is_written_over_a_real_socket() -> None:
    async with served_claude() as url:
        messages = SdkMessages(Credentials(url, SecretStr(KEY)))
        one = Writer(messages, PROMPTS, "prompts", WriterTerms(model=MODEL))
        draft = drafted(one)
        written = await one.write(draft, NOON)
        await messages.close()
    assert written.trouble is None
    assert written.text
    assert Decimal(0) < written.cost_usd < draft.worst_usd < WriterTerms(model=MODEL).usd_per_day


def test_request_number_is_shown_as_wake_reflection_or_digest() -> None:
    assert request_name(7) == "wake 7"
    assert request_name(reflection_number(1)) == "the reflection on order 1"
    assert request_name(digest_number("2026-01-01")) == "the digest of 2026-01-01"
