"""What a book ran with when its last event came: who decided, and under which policies and prompts."""

from typing import Any

import msgspec
from sqlite_utils import Database

from ocw_mcp.domain.events import PoliciesLoaded, RunResumed, RunStarted

_POLICIES = "SELECT payload FROM events WHERE kind = 'policies.loaded' ORDER BY row DESC LIMIT 1"
# A start that came to nothing left a row about itself and no event.
_RUN = """SELECT payload FROM events WHERE kind IN ('run.started', 'run.resumed')
    AND row < (SELECT row FROM events WHERE seq IS NOT NULL ORDER BY seq DESC LIMIT 1) ORDER BY row DESC LIMIT 1"""
_UNDONE = "SELECT coalesce((SELECT max(seq) FROM events), 0) > coalesce((SELECT seq FROM checkpoint), 0)"

_decode = msgspec.json.Decoder(PoliciesLoaded | RunStarted | RunResumed).decode


class RanWith(msgspec.Struct, frozen=True):
    """The agent, the policies by name and hash, the hash of the prompts, and the version."""

    agent: str
    policy: str
    policy_hash: str
    prompts_hash: str
    version: str
    to_be_repeated: bool
    """Whether it ended in the middle, so that what came after its checkpoint has to be done again as it was."""


def read_ran_with(db: Database) -> RanWith | None:
    """The same from a book; None where nothing has happened in it. Raises sqlite3.Error and msgspec's errors."""
    run, policies = _one(db, _RUN), _one(db, _POLICIES)
    if not isinstance(run, RunStarted | RunResumed) or not isinstance(policies, PoliciesLoaded):
        return None
    (undone,) = db.execute(_UNDONE).fetchone()
    return RanWith(
        run.agent, policies.name, policies.policy_hash, policies.prompts_hash, run.version, to_be_repeated=bool(undone)
    )


def _one(db: Database, query: str) -> Any:
    found = db.execute(query).fetchone()
    return None if found is None else _decode(found[0])
