"""The policies about the state of the market: the factors on size limits, and the largest anomaly of an entry."""

from decimal import Decimal
from itertools import pairwise
from typing import Annotated, Self

from pydantic import Field, model_validator

from ocw_mcp.domain.anomaly import LARGEST_QUANTILE
from ocw_mcp.domain.policy_table import LOWER, OPTIONAL, Share, Table

Factor = Annotated[Decimal, Field(gt=0, le=2)]


class ScalePolicy(Table):
    """The factors on size limits by market regime and macro regime. The product of both, at most 1, multiplies
    position.max_share, risk.max_share, exposure.max_gross and correlated.max_share, but not the requested size of an
    order."""

    regime_calm: Annotated[Share, LOWER] = Decimal(1)
    """The factor on size limits while the market regime is calm."""
    regime_normal: Annotated[Share, LOWER] = Decimal("0.8")
    """The factor on size limits while the market regime is normal."""
    regime_turbulent: Annotated[Share, LOWER] = Decimal("0.5")
    """The factor on size limits while the market regime is turbulent."""
    regime_unknown: Annotated[Share, LOWER] = Decimal("0.5")
    """The factor on size limits while the market regime is unknown."""
    macro_goldilocks: Annotated[Factor, LOWER] = Decimal(1)
    """The factor on size limits while growth rises and inflation falls."""
    macro_reflation: Annotated[Factor, LOWER] = Decimal(1)
    """The factor on size limits while growth and inflation rise."""
    macro_deflation: Annotated[Factor, LOWER] = Decimal("0.8")
    """The factor on size limits while growth and inflation fall."""
    macro_stagflation: Annotated[Factor, LOWER] = Decimal("0.5")
    """The factor on size limits while growth falls and inflation rises."""
    macro_unknown: Annotated[Share, LOWER] = Decimal("0.8")
    """The factor on size limits while the macro regime is unknown."""

    regime_symbol: Annotated[str, OPTIONAL] = "BTCUSDT"
    """The symbol whose daily closes give the market regime; the regime of a book without it is unknown. Optional."""

    @model_validator(mode="after")
    def _turbulence_lowers(self) -> Self:
        order = ("regime_turbulent", "regime_normal", "regime_calm")
        for lower, higher in pairwise(order):
            if self.gives(lower, higher) and getattr(self, lower) > getattr(self, higher):
                raise ValueError(
                    f"{lower} ({getattr(self, lower)}) is above {higher} ({getattr(self, higher)}); lower {lower}"
                )
        return self


class AnomalyPolicy(Table):
    """The anomaly of a symbol from which its entries are refused."""

    max_entry_quantile: Annotated[Decimal, Field(gt=0, le=1), LOWER] = Decimal(1)
    """The largest quantile of the last hour's anomaly at which an entry passes; with 1 every entry does. The largest
    quantile that is read is 0.995. Below 1 an unknown anomaly is refused, too: 240 hours of candles are needed."""

    @model_validator(mode="after")
    def _can_refuse(self) -> Self:
        if LARGEST_QUANTILE <= self.max_entry_quantile < 1:
            raise ValueError(
                f"max_entry_quantile ({self.max_entry_quantile}) refuses no entry, because no quantile above "
                f"{LARGEST_QUANTILE:g} is read; set less, or 1"
            )
        return self
