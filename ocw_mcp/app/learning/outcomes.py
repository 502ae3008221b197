"""The outcomes in a journal or in an exported file, and what follows from them."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from ocw_mcp.adapters.store.database import journal_events
from ocw_mcp.adapters.store.reader import ask_book
from ocw_mcp.core.learning.learner import Learner, LearningSettings
from ocw_mcp.core.signals import GROUPS
from ocw_mcp.domain.errors import SettingsError
from ocw_mcp.domain.events import JournalEvent
from ocw_mcp.domain.learning import REGIMES, UNKNOWN_REGIME
from ocw_mcp.domain.learning_events import OutcomeScored
from ocw_mcp.engine.learning import SEED, outcome_of

FORMAT: Final = "ocw-outcomes 1"
"""The first line of an exported file; each other line is one outcome."""


class TimedOutcome(NamedTuple):
    """An outcome and the time (ms) at which it was known."""

    at: int
    outcome: OutcomeScored


def read_events(directory: Path) -> list[tuple[int, JournalEvent]]:
    """Return the events of a book's journal with their times. Raises BookError."""
    return ask_book(directory, lambda db, _: list(journal_events(db)))


def outcomes_among(found: Iterable[tuple[int, JournalEvent]]) -> list[TimedOutcome]:
    """Return the outcomes among events, in their order."""
    return [TimedOutcome(at, event) for at, event in found if isinstance(event, OutcomeScored)]


def read_outcomes(path: Path) -> list[TimedOutcome]:
    """Return the outcomes of a book's directory, or of a file that `write_outcomes` wrote.

    Raises SettingsError for a file that is no such file, and BookError for a directory without a book.
    """
    if not path.is_file():
        return outcomes_among(read_events(path))
    try:
        first, *rest = path.read_text(encoding="utf-8").splitlines()
        if first != FORMAT:
            raise ValueError(f"its first line is {first[:40]!r}")
        return [
            TimedOutcome(*each) for each in (msgspec.json.decode(line, type=tuple[int, OutcomeScored]) for line in rest)
        ]
    except (OSError, ValueError) as error:
        raise SettingsError(
            f"{path.name} is no file of outcomes ({error}); expected one that `ocw learning export` wrote; export again"
        ) from error


def write_outcomes(path: Path, outcomes: Sequence[TimedOutcome]) -> None:
    """Write outcomes into a file. Raises SettingsError if it exists, or cannot be written."""
    lines = [FORMAT, *(msgspec.json.encode(each).decode() for each in outcomes)]
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write("\n".join(lines) + "\n")
    except OSError as error:
        raise SettingsError(f"cannot write {path.name}: {error.strerror}; choose the name of a new file") from error


def learn(outcomes: Iterable[TimedOutcome], *, counterfactuals: bool = True) -> Learner:
    """Return the learner of outcomes in their order."""
    weight = LearningSettings().counterfactual_weight if counterfactuals else 0.0
    learner = Learner(GROUPS, REGIMES, LearningSettings(seed=SEED, counterfactual_weight=weight))
    for at, outcome in outcomes:
        learner.take(outcome_of(outcome, at))
    return learner


def last_regime(outcomes: Sequence[TimedOutcome]) -> str:
    """Return the regime of the newest outcome."""
    return next((each.outcome.regime for each in reversed(outcomes) if each.outcome.regime), UNKNOWN_REGIME)
