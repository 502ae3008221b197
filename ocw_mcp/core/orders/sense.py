"""What no venue can mean: amounts that are no number, trades of nothing, fees that are earned."""

from decimal import Decimal

from ocw_mcp.domain.money import ZERO, plain
from ocw_mcp.domain.orders import Filled, FundingPaid, OutsideFill, Transferred, VenueReport

HIGHEST_REBATE = Decimal("0.001")
"""Of what was traded: makers are paid less than this everywhere."""


def nonsense(report: VenueReport) -> str:
    """One clause on what is absurd about a report, or nothing. Only money and quantities can be."""
    match report:
        case Filled(quantity=quantity, price=price, fee=fee) | OutsideFill(quantity=quantity, price=price, fee=fee):
            for name, value in (("a quantity", quantity), ("a price", price)):
                if not (value.is_finite() and value > ZERO):
                    return f"{name} of {value}"
            if not fee.is_finite():
                return f"a fee of {fee}"
            if fee < -HIGHEST_REBATE * quantity * price:
                return f"a rebate of {plain(-fee)} on {plain(quantity)} at {plain(price)}"
            if isinstance(report, Filled) and not (report.base_fee.is_finite() and ZERO <= report.base_fee <= quantity):
                return f"a fee of {report.base_fee} taken out of {plain(quantity)}"
        case FundingPaid(amount=amount):
            if not amount.is_finite():
                return f"funding of {amount}"
        case Transferred(amount=amount):
            if not amount.is_finite():
                return f"a transfer of {amount}"
    return ""
