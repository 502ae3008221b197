"""What an engine is built with, all of it values: it reads nothing itself."""

from collections.abc import Callable
from decimal import Decimal

import msgspec

from ocw_mcp.domain.market import Instrument, Product
from ocw_mcp.domain.policies import Policies
from ocw_mcp.domain.state import Mode


class EngineConfig(msgspec.Struct, frozen=True):
    """One engine's settings. `start_equity` in quote currency, `interval` in ms."""

    policies: Policies
    policy_hash: str
    prompts_hash: str
    product: Product
    interval: int
    symbols: tuple[str, ...]
    start_equity: Decimal
    agent: str
    instruments: Callable[[str, float], Instrument]
    """The venue's filters for a symbol at a price. Pure; asked once per symbol, the answer is kept."""
    strict: Policies | None = None
    """What holds beside `policies` for what was decided after reading what others wrote."""
    live: bool = False
    """Whether time is the machine's: then the engine looks by itself while no candle comes."""
    mode: Mode = Mode.PAPER
    fallback: bool = False
    """Whether the rules decide where the agent does not: for agents that are models, and cost money."""
