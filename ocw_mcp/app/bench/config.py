"""The engine configuration of measurements without a run."""

from ocw_mcp.adapters.venues.paper import PaperVenue
from ocw_mcp.app.compose import START_EQUITY
from ocw_mcp.app.policy_loader import load_policies
from ocw_mcp.domain.market import Product
from ocw_mcp.domain.policies import Policies
from ocw_mcp.domain.time import MINUTE
from ocw_mcp.engine.config import EngineConfig


def paper_config(symbols: tuple[str, ...], policies: Policies | None = None) -> EngineConfig:
    """Return a configuration for paper trading of perpetuals on minute candles.

    The policies are the shipped default ones unless others are given.
    """
    return EngineConfig(
        policies=policies or load_policies(None).policies,
        policy_hash="",
        prompts_hash="",
        product=Product.UM,
        interval=MINUTE,
        symbols=symbols,
        start_equity=START_EQUITY,
        agent="none",
        instruments=PaperVenue(Product.UM, START_EQUITY, 5 * MINUTE).instrument,
    )
