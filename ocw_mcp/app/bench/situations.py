"""The situations of `situations/`: what happened to an account, the facts that one needs, and the right answers.

A file describes a market by prices at times, and the decisions, requests and commands until the wake under test.
"""

import math
import tomllib
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Sequence
from decimal import Decimal
from fnmatch import fnmatchcase
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from ocw_mcp.adapters.feeds.simulated.feed import START
from ocw_mcp.app.resources import shipped
from ocw_mcp.domain.asks import CallerRequest
from ocw_mcp.domain.decision import Action, Leg
from ocw_mcp.domain.errors import SettingsError
from ocw_mcp.domain.market import Candle, Frame, Funding, MarketIdentity, Opening, Product
from ocw_mcp.domain.time import DAY, HOUR, MINUTE
from ocw_mcp.runtime.thinking import NEVER

INTERVAL: Final = 5 * MINUTE
BEGIN: Final = START + 14 * DAY
"""The time (ms) that a situation calls 00:00."""
FIRST: Final = -1
"""The number of the first candle that is no history. It closes at 00:00, as a candle of 4h, which wakes the agent."""
HISTORY: Final = 10 * DAY // INTERVAL
"""The number of candles before 00:00: enough for every indicator on 4h."""
AFTER: Final = 2
"""The number of candles after the answer, with which its orders fill."""
_FUNDING_HOURS: Final = 8
_TERMS: Final = ("size", "risk", "stop", "target", "limit", "share", "trail", "leverage")

Range = tuple[Decimal, Decimal]
Outcome = Literal["right", "wrong", "neither", "refused", "no answer"]


class Prices(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The market of a symbol. Between two prices the price moves in a straight line with small waves."""

    path: dict[str, float]
    """The prices (quote) at times such as 01:30, the first of them at 00:00."""
    history: tuple[float, ...] = ()
    """The prices of the ten days before, at equal distances."""
    volume: float = 20_000.0
    """The volume (base asset) of a candle."""
    wicks: dict[str, float] = {}
    """A price that the candle from this time on reaches, besides those on the path."""
    gaps: tuple[tuple[str, str], ...] = ()
    """The times between which there are no candles."""
    funding: dict[str, float] = {}
    """The funding rates of eight hours, settled at these times."""


class Step(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One event before the wake under test: a decision, a request, a command, or a fault of the venue."""

    at: str
    """The time of the event; a decision answers the first wake from this time on."""
    decide: dict[str, Any] = {}
    """The arguments of `decisions_submit` without the number of the wake."""
    correct: dict[str, Any] = {}
    """The arguments with which the decision is corrected once."""
    client: str = ""
    """The name of the client that makes the request `ask`."""
    ask: dict[str, Any] = {}
    command: str = ""
    """A command of the operator, with its subject."""
    subject: str = ""
    venue: Literal["", "refuses stops", "accepts stops"] = ""


class LegPattern(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The legs of an answer that are meant. A range is met by a leg that gives the field, within the range."""

    action: Action | tuple[Action, ...]
    symbol: str | None = None
    """None means any symbol."""
    size: Range | None = None
    risk: Range | None = None
    stop: Range | None = None
    target: Range | None = None
    limit: Range | None = None
    share: Range | None = None
    trail: Range | None = None
    leverage: Range | None = None
    without: tuple[str, ...] = ()
    """The fields that the leg must not give."""

    @property
    def actions(self) -> tuple[Action, ...]:
        """The actions that are meant."""
        return self.action if isinstance(self.action, tuple) else (self.action,)

    @property
    def ranges(self) -> dict[str, Range]:
        """The ranges by the names of their fields."""
        wanted = {name: getattr(self, name) for name in _TERMS}
        return {name: each for name, each in wanted.items() if each is not None}

    def matches(self, leg: Leg) -> bool:
        """Return whether a leg is meant."""
        if leg.action not in self.actions or self.symbol not in (None, leg.symbol):
            return False
        if any(getattr(leg, name) is not None for name in self.without):
            return False
        given = ((getattr(leg, name), low, high) for name, (low, high) in self.ranges.items())
        return all(value is not None and low <= value <= high for value, low, high in given)


class Reading(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A value of the market that one needs, under its name in wake conditions; it is within `between`."""

    symbol: str
    metric: str
    between: tuple[float, float]


class SampleAnswer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An answer written by hand, and its outcome. No legs are a HOLD."""

    outcome: Outcome
    legs: tuple[dict[str, Any], ...] = ()


class Situation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A situation as its file describes it."""

    title: str
    why: str
    """Why the right answers are right, in one sentence."""
    wake: str
    """The first wake from this time on is under test."""
    market: dict[str, Prices]
    facts: tuple[tuple[str, ...], ...]
    """The facts that one needs: each is the texts, a label first, that one line of the request must contain."""
    right: tuple[tuple[LegPattern, ...], ...]
    """The right answers, each as its legs; one without legs is a HOLD."""
    wrong: tuple[LegPattern, ...]
    """The legs that make an answer wrong; with the action HOLD it is wrong to do nothing."""
    answers: tuple[SampleAnswer, ...]
    readings: tuple[Reading, ...] = ()
    then: tuple[Step, ...] = ()
    product: Product = Product.UM
    attached_until: str = ""
    """The time until which attached clients decided; then the book went on with Claude."""
    policies: dict[str, dict[str, Any]] = {}
    """The keys of the policy file that differ from the default."""
    name: str = ""


def clock(text: str) -> int:
    """Return the time (ms) that a situation calls `text`, such as 01:30. Raises ValueError."""
    hours, _, minutes = text.partition(":")
    return BEGIN + int(hours) * HOUR + int(minutes) * MINUTE


def load(pattern: str = "*", folder: Path | None = None) -> dict[str, Situation]:
    """Return the situations whose names match a pattern such as `spot*`, by name. Raises SettingsError."""
    found = {}
    for path in sorted((folder or shipped("situations")).glob("*.toml")):
        if fnmatchcase(path.stem, pattern):
            try:
                values = tomllib.loads(path.read_text())
                found[path.stem] = msgspec.convert({**values, "name": path.stem}, Situation)
            except (tomllib.TOMLDecodeError, msgspec.ValidationError, ValueError) as error:
                raise SettingsError(f"{path.name} is not a situation: {error}; see README.md beside it") from None
    if not found:
        raise SettingsError(f"no situation matches {pattern!r}; expected a name such as spot*, or *")
    return found


def request_of(step: Step) -> CallerRequest:
    """Return the request of a client, with the time of the step as its key."""
    request: CallerRequest = msgspec.convert(
        {**step.ask, "key": step.at, "principal": f"mcp:{step.client}"}, CallerRequest
    )
    return request


def grade(situation: Situation, legs: Sequence[Leg], refused: Sequence[Leg]) -> Outcome:
    """Return the outcome of an answer with these accepted and these refused legs.

    An answer is right if its acting legs are one of the right answers, perhaps with legs of other right answers.
    """
    acting = [leg for leg in legs if leg.action is not Action.HOLD]
    if refused and not acting:
        return "refused"
    held = (Leg("", Action.HOLD),) if not acting else ()
    if any(wrong.matches(leg) for wrong in situation.wrong for leg in (*acting, *refused, *held)):
        return "wrong"
    allowed = [pattern for answer in situation.right for pattern in answer]
    if any(not any(pattern.matches(leg) for pattern in allowed) for leg in acting):
        return "neither"
    whole = (answer for answer in situation.right if all(any(each.matches(leg) for leg in acting) for each in answer))
    return "right" if any(answer or not acting for answer in whole) else "neither"


class SituationFeed:
    """The market of a situation. It ends some candles after the answer to the wake under test."""

    def __init__(
        self, situation: Situation, act: Callable[[Step], Awaitable[None]], answered: Callable[[], bool]
    ) -> None:
        """`act` carries out a step after the frame of its time."""
        self.until = NEVER
        """The time (ms) after which there are no frames."""
        self._market, self._act, self._answered = situation.market, act, answered
        self._steps = sorted((each for each in situation.then if not each.decide), key=lambda each: clock(each.at))
        self._funding = [
            Funding(symbol, clock(at), rate, _FUNDING_HOURS)
            for symbol, prices in situation.market.items()
            for at, rate in prices.funding.items()
        ]
        symbols = tuple(sorted(situation.market))
        self.identity = MarketIdentity("situation", situation.product, INTERVAL, symbols, situation.name)

    async def frames(self, after: int | None = None) -> AsyncGenerator[Frame, None]:
        """Yield the history, a day in a frame, then the frames until the answer has had its effect.

        With `after`, yield only the frames later than this time (ms).
        """
        begins = -1 if after is None else after
        candles = {symbol: _candles(symbol, prices) for symbol, prices in sorted(self._market.items())}
        last = max(len(each) for each in candles.values()) - HISTORY
        waiting, left = [each for each in self._steps if clock(each.at) >= begins], AFTER
        past: list[Candle] = []
        for number in range(1 - HISTORY, last + 1):
            at = BEGIN + number * INTERVAL
            if at <= begins or at > self.until:
                continue
            place = number + HISTORY
            pairs = [(each[place - 1], each[place] if place < len(each) else None) for each in candles.values()]
            closed = tuple(closed for closed, _ in pairs if closed is not None)
            if number < FIRST:
                past += closed
                if number == FIRST - 1 or not at % DAY:
                    yield Frame(at, tuple(past), history=True)
                    past.clear()
                continue
            while waiting and clock(waiting[0].at) < at:
                await self._act(waiting.pop(0))
            yield Frame(
                at,
                closed,
                tuple(Opening(each.symbol, at, each.open) for _, each in pairs if each is not None),
                funding=tuple(each for each in self._funding if each.at == at),
            )
            left -= self._answered()
            if not left:
                return


def _candles(symbol: str, prices: Prices) -> list[Candle | None]:
    """Return the candles of a symbol; None in its gaps."""
    points = [(clock(at), price) for at, price in prices.path.items()]
    past = (*prices.history, points[0][1])
    points = [
        *((BEGIN - DAY * 10 + round(n * 10 * DAY / max(1, len(past) - 1)), price) for n, price in enumerate(past[:-1])),
        *points,
    ]
    if not prices.history:
        points.insert(0, (BEGIN - 10 * DAY, points[0][1]))
    values = list(_values(points))
    wicks = {clock(at) // INTERVAL: price for at, price in prices.wicks.items()}
    gaps = [(clock(begin), clock(end)) for begin, end in prices.gaps]
    made: list[Candle | None] = []
    for number, (first, last) in enumerate(pairwise(values)):
        at = BEGIN - 10 * DAY + number * INTERVAL
        reached = [first * 1.0002, first * 0.9998, last * 1.0002, last * 0.9998]
        if (wick := wicks.get(at // INTERVAL)) is not None:
            reached.append(wick)
        high, low = _price(max(reached)), _price(min(reached))
        volume = round(prices.volume * (1 + math.sin(number * 0.7) / 3), 3)
        candle = Candle(symbol, at, INTERVAL, first, high, low, last, volume)
        made.append(None if any(begin <= at < end for begin, end in gaps) else candle)
    return made


def _values(points: list[tuple[int, float]]) -> Iterator[float]:
    """Yield the price every `INTERVAL`: on straight lines between the points, with waves that vanish at the points."""
    for (begin, first), (end, last) in pairwise(points):
        count = (end - begin) // INTERVAL
        for number in range(count):
            part, height = number / count, 0.008 if end <= BEGIN else 0.0012
            wave = 0.5 * math.sin(number * 0.06) + 0.3 * math.sin(number * 0.8) + 0.2 * math.sin(number * 2.3)
            yield _price((first + (last - first) * part) * (1 + height * min(1, 6 * part, 6 - 6 * part) * wave))
    yield _price(points[-1][1])


def _price(value: float) -> float:
    return round(value, 1 if value >= 10_000 else 2 if value >= 10 else 4)
