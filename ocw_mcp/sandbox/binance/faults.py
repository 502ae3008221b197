"""The fault script: which faults the sandbox exchange has, and when. A script is a TOML file.

Times in a script are counted from the start of the sandbox, on the clock of its market.
"""

import hashlib
import re
import tomllib
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import Any, Final, TypeVar

import msgspec

from ocw_mcp.domain.errors import SettingsError
from ocw_mcp.domain.time import DAY, HOUR, MINUTE, SECOND
from ocw_mcp.sandbox.binance.fault_kinds import ANSWERS, FORMS, KEYS, KINDS, OF_ORDERS

MOST_FAULTS: Final = 10_000


class Fault(msgspec.Struct, frozen=True):
    """One fault. Times are in ms from the start of the sandbox."""

    kind: str
    at: int
    lasts: int = 0
    every: int = 0
    """0 if the fault happens once."""
    stream: str = "*"
    path: str = "*"
    by: int = 0
    times: int = 2
    status: int = 503
    code: int = -1000
    msg: str = "Unknown error, please check your request or try again later."
    form: str = ""
    nth: int = 1
    replaces: bool = False
    rest: bool = False
    symbol: str = ""
    tick: str | None = None
    step: str | None = None
    min_notional: str | None = None
    answer: str = ""
    executed: bool = False
    method: str = ""
    side: str = ""
    quantity: str = ""
    price: str | None = None
    amount: str = ""
    share: str = "1"

    def begins(self, since: int, until: int) -> Iterator[int]:
        """Yield the times at which the fault begins with since < time <= until."""
        if not self.every:
            if since < self.at <= until:
                yield self.at
            return
        first = max(0, (since - self.at) // self.every + 1)
        last = (until - self.at) // self.every
        yield from (self.at + number * self.every for number in range(first, last + 1))

    def began(self, now: int) -> int | None:
        """Return when the fault began that is active at `now`; None if it is not active."""
        if now < self.at:
            return None
        began = now - (now - self.at) % self.every if self.every else self.at
        return began if now < began + self.lasts else None

    def concerns(self, stream: str) -> bool:
        """Return whether the fault concerns a stream."""
        return self.stream == "*" or fnmatchcase(stream, self.stream)

    def concerns_path(self, path: str) -> bool:
        """Return whether the fault concerns a REST path."""
        return self.path == "*" or fnmatchcase(path, self.path)

    def __str__(self) -> str:
        subject = (
            self.symbol
            or self.amount
            or (self.stream if self.stream != "*" else "")
            or (self.path if self.path != "*" else "")
        )
        order = [self.side.lower(), self.quantity, f"at {self.price}" if self.price else ""]
        done = "executed" if self.executed else ""
        detail = [subject, self.form, self.answer, *order, done, f"by {span_text(self.by)}" if self.by else ""]
        length = f"for {span_text(self.lasts)}" if self.lasts else ""
        return " ".join(part for part in (self.kind, *detail, length) if part)


_SPANS: Final = {"ms": 1, "s": SECOND, "m": MINUTE, "h": HOUR, "d": DAY}
_SPAN: Final = re.compile(r"(\d{1,9})(ms|s|m|h|d)")


def parse_span(text: str) -> int:
    """Return the milliseconds of a span such as `500ms`, `10m`, `1h30m` or `-2s`. Raises ValueError."""
    body = text.removeprefix("-")
    if not body or _SPAN.sub("", body):
        raise ValueError(f"{text[:40]!r} is no span of time")
    length = sum(int(number) * _SPANS[unit] for number, unit in _SPAN.findall(body))
    return -length if text.startswith("-") else length


def span_text(ms: int) -> str:
    """Return a span as a script writes it: `1h30m`."""
    text, left = "", abs(ms)
    for unit in ("d", "h", "m", "s", "ms"):
        count, left = divmod(left, _SPANS[unit])
        text += f"{count}{unit}" if count else ""
    return ("-" if ms < 0 else "") + (text or "0s")


def load_script(text: str, name: str) -> list[Fault]:
    """Return the faults of a script in the order of time. Raises SettingsError that lists every problem of the file."""
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{name} is no valid TOML: {error}; correct that line") from None
    problems = [
        f"{key[:40]!r} is unknown; expected [[fault]] and [random]" for key in tables if key not in ("fault", "random")
    ]
    entries = tables.get("fault", [])
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        problems.append("fault is no list of tables; write each fault under a line [[fault]]")
        entries = []
    lines = [number for number, line in enumerate(text.splitlines(), 1) if re.match(r"\s*\[\[\s*fault\s*\]\]", line)]
    faults: list[Fault] = []
    for number, entry in enumerate(entries, 1):
        place = f"fault {number}" + (f" (line {lines[number - 1]})" if len(lines) == len(entries) else "")
        try:
            faults.append(parse_fault(entry))
        except SettingsError as error:
            problems += [f"{place}: {line}" for line in str(error).splitlines()]
    if "random" in tables:
        try:
            faults += random_faults(tables["random"])
        except SettingsError as error:
            problems += [f"[random]: {line}" for line in str(error).splitlines()]
    if len(faults) > MOST_FAULTS:
        problems.append(f"there are {len(faults):,} faults; expected at most {MOST_FAULTS:,}; lower the rates")
    if problems:
        raise SettingsError("\n".join(f"{name}: {problem}" for problem in problems))
    return sorted(faults, key=lambda fault: fault.at)


def parse_fault(entry: Mapping[str, Any], now: int = 0) -> Fault:
    """Return a fault of a table, which begins at `now` if it has no `at`. Raises SettingsError for all problems."""
    kind = entry.get("kind")
    if kind not in KINDS:
        near = get_close_matches(str(kind), KINDS, 1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise SettingsError(f"kind is {str(kind)[:40]!r}; expected one of {', '.join(KINDS)}{hint}")
    known = KINDS[kind]
    allowed = {"kind", "at", "every", *known.required, *known.optional}
    problems = [
        f"{key[:40]!r} is no key of {kind!r}; expected some of {', '.join(sorted(allowed))}; remove or correct it"
        for key in entry
        if key not in allowed
    ]
    required = known.required if now else ("at", *known.required)
    problems += [
        f"{key} is missing; {kind!r} needs it; write {key} = {KEYS[key].example}"
        for key in required
        if key not in entry
    ]
    values: dict[str, Any] = {"kind": kind, "at": now}
    for key, value in entry.items():
        if key == "kind" or key not in allowed:
            continue
        try:
            values["lasts" if key == "for" else key] = _value(key, value)
        except ValueError:
            expected = KEYS[key]
            given = f"{value!r}"[:40]
            problems.append(f"{key} is {given}; expected {expected.expected}; write {key} = {expected.example}")
    if kind in ("delay", "order_hidden", *OF_ORDERS) and values.get("by", 1) <= 0:
        problems.append(f"by is {entry['by']!r}; a delay is longer than zero; write by = {KEYS['by'].example}")
    if kind in OF_ORDERS and values.get("by") and not values.get("executed"):
        problems.append("by is the time after which the order is executed; write executed = true, or remove by")
    answer = ANSWERS.get(values.get("answer", ""))
    if answer is not None and values.get("executed") and not answer.unknown:
        unknown = " or ".join(name for name, each in ANSWERS.items() if each.unknown)
        problems.append(f"executed is true, but {values['answer']} means that the request failed; use {unknown}")
    if problems:
        raise SettingsError("\n".join(problems))
    fault = Fault(**values)
    if fault.every and fault.every <= fault.lasts:
        raise SettingsError("every is not longer than for; expected a pause between the repetitions; raise every")
    return fault


_CHOICES: Final = {
    "form": tuple(FORMS),
    "answer": tuple(ANSWERS),
    "method": ("POST", "PUT", "DELETE"),
    "side": ("BUY", "SELL"),
}


def _value(key: str, value: Any) -> Any:
    """Return the value of a key. Raises ValueError if it is invalid."""
    if key in ("at", "for", "every", "by"):
        span = parse_span(value) if isinstance(value, str) else None
        if span is None or (key != "by" and span < 0) or (key in ("for", "every") and span == 0):
            raise ValueError
        return span
    if key in ("replaces", "rest", "executed"):
        if not isinstance(value, bool):
            raise ValueError
        return value
    ranges = {"times": (2, 100), "status": (400, 599), "nth": (1, 10**9), "code": (-99_999, 99_999)}
    if key in ranges:
        low, high = ranges[key]
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise ValueError
        return value
    decimal = key in ("tick", "step", "min_notional", "quantity", "price", "amount", "share")
    form = r"-?\d{1,12}(\.\d{1,12})?" if key == "amount" else r"\d{1,12}(\.\d{1,12})?"
    if not isinstance(value, str) or not value or (decimal and not re.fullmatch(form, value)):
        raise ValueError
    if value not in _CHOICES.get(key, (value,)) or (key == "share" and float(value) > 1):
        raise ValueError
    if (key == "symbol" and value != value.upper()) or (decimal and not float(value)):
        raise ValueError
    return value


RANDOM: Final = {
    "drop": (0, 0),
    "close": (0, 0),
    "refuse": (5 * SECOND, 60 * SECOND),
    "mute": (30 * SECOND, 5 * MINUTE),
    "delay": (5 * SECOND, 2 * MINUTE),
    "duplicate": (5 * SECOND, 2 * MINUTE),
    "reorder": (5 * SECOND, 2 * MINUTE),
    "garbage": (5 * SECOND, MINUTE),
    "error": (5 * SECOND, 2 * MINUTE),
    "limit": (5 * SECOND, MINUTE),
    "ban": (30 * SECOND, 5 * MINUTE),
    "order_drop": (SECOND, 30 * SECOND),
    "order_error": (SECOND, 30 * SECOND),
}
"""The kinds that a random schedule can have, with the shortest and the longest time (ms) that each lasts."""
RANDOM_STREAMS: Final = ("*", "*@kline_*", "*@aggTrade", "*@bookTicker", "*@markPrice*")
"""The streams among which a random schedule chooses for each fault."""
LONGEST_DELAY: Final = 5 * SECOND
ORDER_DELAYS: Final = (0, 0, 5 * SECOND, 90 * SECOND, HOUR)
"""The times (ms) among which a random schedule chooses for an order of an unknown outcome; 0 is at once."""


def random_faults(table: Any) -> list[Fault]:
    """Return the faults of the table `[random]`: they depend on its seed and rates only. Raises SettingsError."""
    if not isinstance(table, dict):
        raise SettingsError("expected a table with a seed and rates; write [random] and below it seed = 1")
    rates = {f"{kind}s_per_hour": kind for kind in RANDOM}
    problems = [
        f"{key[:40]!r} is unknown; expected seed, for, and some of {', '.join(rates)}"
        for key in table
        if key not in ("seed", "for", *rates)
    ]
    seed, length = table.get("seed"), table.get("for", "24h")
    if isinstance(seed, bool) or not isinstance(seed, int):
        problems.append("seed is no whole number; write seed = 1")
    try:
        end = _value("for", length)
    except ValueError:
        problems.append(f'for is {length!r}; expected a span of time; write for = "24h"')
        end = 0
    for key in rates:
        rate = table.get(key, 0)
        if isinstance(rate, bool) or not isinstance(rate, int | float) or not 0 <= rate <= 60:
            problems.append(f"{key} is {rate!r}; expected a number from 0 to 60; write {key} = 0.5")
    if problems:
        raise SettingsError("\n".join(problems))
    faults = []
    for key, kind in rates.items():
        rate = float(table.get(key, 0))
        for hour in range(-(-end // HOUR)):
            draw = _Draws(f"{seed} {kind} {hour}")
            for _ in range(int(rate) + (draw() < rate % 1)):
                at = hour * HOUR + int(draw() * HOUR)
                if at < end:
                    faults.append(_random_fault(kind, at, draw))
    return sorted(faults, key=lambda fault: fault.at)


def _random_fault(kind: str, at: int, draw: "_Draws") -> Fault:
    shortest, longest = RANDOM[kind]
    lasts = shortest + int(draw() * (longest - shortest))
    names = KINDS[kind].required + KINDS[kind].optional
    if kind in OF_ORDERS:
        answer = draw.choice(tuple(ANSWERS)) if kind == "order_error" else ""
        executed = (not answer or ANSWERS[answer].unknown) and draw() < 0.5
        by = draw.choice(ORDER_DELAYS) if executed else 0
        return Fault(kind, at, lasts, answer=answer, executed=executed, by=by)
    return Fault(
        kind,
        at,
        lasts,
        stream=draw.choice(RANDOM_STREAMS) if "stream" in names and lasts else "*",
        by=1 + int(draw() * LONGEST_DELAY) if kind == "delay" else 0,
        form=draw.choice(tuple(FORMS)) if kind == "garbage" else "",
        replaces=kind == "garbage" and draw() < 0.5,
    )


Chosen = TypeVar("Chosen")


class _Draws:
    """Uniform numbers from 0 to 1 that depend on a name only."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._count = 0

    def __call__(self) -> float:
        self._count += 1
        digest = hashlib.sha256(f"{self._name} {self._count}".encode()).digest()
        return int.from_bytes(digest[:8], "big") / 2**64

    def choice(self, values: tuple[Chosen, ...]) -> Chosen:
        """Return one of some values."""
        return values[int(self() * len(values))]
