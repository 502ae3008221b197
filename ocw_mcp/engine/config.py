"""The settings of an engine, all of them values: the engine itself reads no file and no environment."""

from collections.abc import Callable
from decimal import Decimal

import msgspec

from ocw_mcp.domain.learning_events import OutcomeImported
from ocw_mcp.domain.market import Instrument, Product
from ocw_mcp.domain.policies import Policies
from ocw_mcp.domain.state import Mode


class EngineConfig(msgspec.Struct, frozen=True):
    """The settings of one engine. `start_equity` is in quote currency, `interval` in ms.

    A book on an exchange begins with the equity of its account instead of `start_equity`.
    """

    policies: Policies
    policy_hash: str
    prompts_hash: str
    product: Product
    interval: int
    symbols: tuple[str, ...]
    start_equity: Decimal
    agent: str
    instruments: Callable[[str, float], Instrument]
    """Returns the venue's filters for a symbol at a price."""
    strict: Policies | None = None
    """The stricter policies for tainted orders, whose author had read texts of other authors."""
    live: bool = False
    """Whether engine time is real time. A live engine also checks positions by a timer while no candle comes."""
    mode: Mode = Mode.PAPER
    fallback: bool = False
    """Whether the built-in rules replace a missing decision of the agent; true for models, whose calls cost money."""
    imported: tuple[OutcomeImported, ...] = ()
    """The outcomes of another book that a new book begins with."""

    @property
    def on_exchange(self) -> bool:
        """Whether the orders go to an exchange, whose account is compared with the books; false on paper."""
        return self.mode is not Mode.PAPER
