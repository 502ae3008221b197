"""The outcomes in a journal or in an exported file, and what follows from them."""

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from ocw_mcp.adapters.store.database import journal_events
from ocw_mcp.adapters.store.directory import OUTCOMES, prepare
from ocw_mcp.adapters.store.reader import ask_book
from ocw_mcp.core.learning.claims import Claims
from ocw_mcp.core.learning.learner import Learner, LearningSettings
from ocw_mcp.core.signals import GROUPS
from ocw_mcp.domain.errors import BookError, SettingsError
from ocw_mcp.domain.events import JournalEvent
from ocw_mcp.domain.learning import REGIMES, UNKNOWN_REGIME, Learned
from ocw_mcp.domain.learning_events import OutcomeImported, OutcomeScored
from ocw_mcp.engine.learned import SEED, count_regret, outcome_of, summed

FORMAT: Final = "ocw-outcomes 2"


class _Header(msgspec.Struct, frozen=True):
    """The first line of an exported file; each other line is one outcome."""

    format: str
    signals: dict[str, str]
    """The group of each signal of the version that wrote the file."""
    outcomes: int
    sha256: str
    """The digest of all other lines."""


class TimedOutcome(NamedTuple):
    """An outcome and the time (ms) at which it was known."""

    at: int
    outcome: OutcomeScored


def read_events(directory: Path) -> list[tuple[int, JournalEvent]]:
    """Return the events of a book's journal with their times. Raises BookError."""
    return ask_book(directory, lambda db, _: list(journal_events(db)))


def outcomes_among(found: Iterable[tuple[int, JournalEvent]]) -> list[TimedOutcome]:
    """Return the outcomes among events, in their order; imported ones with the time of their own book."""
    outcomes = []
    for at, event in found:
        if isinstance(event, OutcomeScored):
            outcomes.append(TimedOutcome(at, event))
        elif isinstance(event, OutcomeImported):
            outcomes.append(TimedOutcome(event.known_at, event.outcome))
    return outcomes


def read_outcomes(path: Path, *, same_signals: bool = False) -> list[TimedOutcome]:
    """Return the outcomes of a book's directory, or of a file that `write_outcomes` wrote.

    With `same_signals` they must be of the signals that this version has. Raises SettingsError for a file that is
    damaged or no such file, or of other signals; BookError for a directory without a book.
    """
    signals = GROUPS
    if path.is_file():
        signals, outcomes = _read_file(path)
    else:
        outcomes = outcomes_among(read_events(path))
    if same_signals:
        named = {name: signals.get(name, "no group") for each in outcomes for name in each.outcome.values}
        found = {**named, **signals}
        if differences := sorted(found.items() ^ GROUPS.items()):
            names = ", ".join(dict.fromkeys(name for name, _ in differences))
            raise SettingsError(
                f"{path.name} is of other signals than this version of ocw has: {names} differ; expected the same "
                "signals in the same groups; begin the book without it"
            )
    return outcomes


def _read_file(path: Path) -> tuple[dict[str, str], list[TimedOutcome]]:
    try:
        first, _, body = path.read_bytes().partition(b"\n")
        header = msgspec.json.decode(first, type=_Header)
        if header.format != FORMAT:
            raise ValueError(f"its format is {header.format[:40]!r}")
        if hashlib.sha256(body).hexdigest() != header.sha256:
            raise ValueError("its outcomes were changed or cut after it was written")
        outcomes = []
        for number, line in enumerate(body.splitlines(), 2):
            try:
                each = TimedOutcome(*msgspec.json.decode(line, type=tuple[int, OutcomeScored]))
                outcome_of(each.outcome, each.at)
            except ValueError as error:
                raise ValueError(f"line {number}: {error}") from error
            outcomes.append(each)
        if len(outcomes) != header.outcomes:
            raise ValueError(f"it has {len(outcomes)} outcomes and says {header.outcomes}")
    except (OSError, ValueError) as error:
        raise SettingsError(
            f"{path.name} is no file of outcomes ({error}); expected one that `ocw learning export` wrote; export again"
        ) from error
    return header.signals, outcomes


def write_outcomes(path: Path, outcomes: Sequence[TimedOutcome]) -> None:
    """Write outcomes into a file. Raises SettingsError if it exists, or cannot be written."""
    body = b"".join(msgspec.json.encode(each) + b"\n" for each in outcomes)
    header = _Header(FORMAT, dict(GROUPS), len(outcomes), hashlib.sha256(body).hexdigest())
    try:
        with path.open("xb") as file:
            path.chmod(0o600)
            file.write(msgspec.json.encode(header) + b"\n" + body)
    except OSError as error:
        raise SettingsError(f"cannot write {path.name}: {error.strerror}; choose the name of a new file") from error


def import_outcomes(source: Path, directory: Path) -> int:
    """Let the book that will begin in a directory begin with the outcomes of a file or of a book; return their number.

    The directory is created if it is missing. Raises SettingsError for a file that cannot be used, or if the directory
    has outcomes already; BookError if it has a book.
    """
    outcomes = read_outcomes(source, same_signals=True)
    if prepare(directory) is not None:
        raise BookError(
            f"the book in {directory} has begun, and its learning follows from its journal alone; import into the "
            "directory of a new book"
        )
    write_outcomes(directory / OUTCOMES, outcomes)
    return len(outcomes)


def imported_outcomes(directory: Path) -> tuple[OutcomeImported, ...]:
    """Return the outcomes that were imported for the new book of a directory. Raises SettingsError."""
    path = directory / OUTCOMES
    if not path.exists():
        return ()
    return tuple(OutcomeImported(at, outcome) for at, outcome in read_outcomes(path, same_signals=True))


def learn(outcomes: Iterable[TimedOutcome], *, counterfactuals: bool = False) -> Learner:
    """Return the learner of outcomes in their order, as an engine with this policy has it."""
    weight = LearningSettings().counterfactual_weight if counterfactuals else 0.0
    learner = Learner(GROUPS, REGIMES, LearningSettings(seed=SEED, counterfactual_weight=weight))
    for at, outcome in outcomes:
        learner.take(outcome_of(outcome, at))
    return learner


def learned_from(outcomes: Sequence[TimedOutcome], *, counterfactuals: bool = False) -> Learned:
    """Return what is learned from outcomes in their order, read in the regime of the newest."""
    claims, regrets = Claims(), dict[str, list[float]]()
    for each in outcomes:
        claims.take(each.outcome)
        count_regret(regrets, each.outcome)
    return summed(last_regime(outcomes), learn(outcomes, counterfactuals=counterfactuals), regrets, claims)


def last_regime(outcomes: Sequence[TimedOutcome]) -> str:
    """Return the regime of the newest outcome that has one which this version knows."""
    return next((each.outcome.regime for each in reversed(outcomes) if each.outcome.regime in REGIMES), UNKNOWN_REGIME)
