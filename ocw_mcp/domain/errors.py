"""Errors, one small tree.

    OcwError                    the caller is told in one sentence; nothing was half done
    ├── SettingsError           settings or policies are unclear: the engine does not start
    ├── TapeError               a market file cannot be believed: the run stops where it stood
    ├── FetchError              the archive cannot be read from: what came before stays, the same command goes on
    ├── BookError               a state directory cannot be used: the engine does not start
    │   └── BookBusy            another engine holds it
    ├── JournalError            the journal cannot be written or does not hold together: no entry leaves
    │   └── JournalDiverged     a resumed run did not repeat what was journaled: the engine stops
    ├── AttachError             no engine can be attached to: the caller is told, and nothing else happens
    ├── StrategyError           a strategy, or something that it returned, is none: nothing is sent for it
    ├── CannotDecideError       whoever was asked about a wake cannot decide: the rules do, or everything is held
    ├── RequestError            a caller asked for what is not there (in `requests.py`, with its codes): nothing happens
    └── HouseRuleError          a programming error against a rule of the house: never caught

An expected refusal of an order is not an error: it is a `Refusal`, a value that travels back to whoever asked.
"""


class OcwError(Exception):
    """Anything a user can mend; its text is one sentence: what was wrong, what was expected, what to do."""


class SettingsError(OcwError):
    """A setting or a policy file is unclear; the engine refuses to start and names every problem at once."""


class TapeError(OcwError):
    """A market file is missing, foreign or absurd; the engine stops, with everything up to there journaled."""


class FetchError(OcwError):
    """A file of the public archive cannot be had or kept; no engine runs meanwhile, and no file is left half named."""


class BookError(OcwError):
    """A state directory is foreign, read-only or made for another market; the engine refuses to start."""


class BookBusy(BookError):  # noqa: N818
    """Another engine owns this state directory; the second one refuses to start."""


class JournalError(OcwError):
    """The journal cannot be written, or its chain is broken. What was recorded is kept and tried again for a while; no
    entry is sent meanwhile.
    """


class JournalDiverged(JournalError):  # noqa: N818
    """After a restart the engine did something else than the journal says it did; it stops and changes nothing."""


class AttachError(OcwError):
    """No served engine answers, and none could be started; whoever asked is told why, under a code."""

    def __init__(self, what: str, code: str = "NO_ENGINE") -> None:
        self.code = code
        super().__init__(what)


class StrategyError(OcwError):
    """A strategy cannot be found or called, or it returned something that is no decision; nothing is sent for it."""


class CannotDecideError(OcwError):
    """Whoever was asked cannot decide; its text is a clause that stands in the journal as the cause."""


class InvariantError(Exception):
    """Code broke a rule of the house, such as making an ApprovedOrder outside the risk room; nothing catches this."""
