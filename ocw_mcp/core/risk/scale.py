"""The scale on the limits of size. What is unknown counts as the conservative answer."""

from decimal import Decimal

from ocw_mcp.domain.money import ONE
from ocw_mcp.domain.policies import ScalePolicy


def exposure_scale(policy: ScalePolicy) -> Decimal:
    """Return the scale of the regime times that of the macro reading, at most 1.

    It multiplies `position.max_share`, `risk.max_share`, `exposure.max_gross` and `correlated.max_share`, and never
    what is asked for. Nothing gives either reading yet, so both are unknown.
    """
    return min(ONE, policy.regime_unknown * policy.macro_unknown)
