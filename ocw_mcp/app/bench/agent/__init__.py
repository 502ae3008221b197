"""The cost of a decision of Claude in characters, rounds, money and time, measured with a stand-in for the model.

Money is computed from the prices of `genai-prices` and the stand-in's estimate of tokens. The length of a model's
output is an assumption.
"""

import asyncio
from typing import Any

from ocw_mcp.adapters.feeds.simulated.feed import START
from ocw_mcp.agent.pricing import TokenUsage, cache_prices, cost
from ocw_mcp.app.bench.agent import decisions, month
from ocw_mcp.app.bench.agent.stand_in import CHARS_A_TOKEN
from ocw_mcp.app.claude import MODEL

_MILLION = 1_000_000


def measure() -> dict[str, Any]:
    """Return sizes of the request, rounds, costs of a decision and of a month, and own time. It takes some minutes."""
    prices = cache_prices(MODEL, START)
    return {
        "model": MODEL,
        "usd_per_million": {
            "in": float(prices.plain * _MILLION),
            "read": float(prices.read * _MILLION),
            "written_5m": float(prices.written["5m"] * _MILLION),
            "written_1h": float(prices.written["1h"] * _MILLION),
            "out": float(cost(TokenUsage(output=1_000), MODEL, START) * 1_000),
        },
        "characters_a_token_estimated": CHARS_A_TOKEN,
        **asyncio.run(decisions.measure()),
        "month": asyncio.run(month.measure()),
    }
