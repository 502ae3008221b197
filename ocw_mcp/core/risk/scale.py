"""What every entry is multiplied by, in one place. What is unknown counts as the conservative answer."""

from decimal import Decimal

from ocw_mcp.domain.policies import ScalePolicy


def exposure_scale(policy: ScalePolicy) -> Decimal:
    """The scale of the regime times that of the macro reading. Nothing gives either yet, so both are unknown."""
    return policy.regime_unknown * policy.macro_unknown
