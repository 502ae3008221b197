"""Decimal arithmetic of money. Amounts are rounded to the exchange's filters, each function in a named direction."""

from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

ZERO = Decimal(0)
ONE = Decimal(1)


def exact(number: float) -> Decimal:
    """Return the decimal number of at most 15 digits that was converted to this float."""
    return Decimal(repr(number))


def floor_to(value: Decimal, unit: Decimal) -> Decimal:
    """Return the largest multiple of `unit` that is not above `value`."""
    return (value / unit).to_integral_value(ROUND_FLOOR) * unit


def ceil_to(value: Decimal, unit: Decimal) -> Decimal:
    """Return the smallest multiple of `unit` that is not below `value`."""
    return (value / unit).to_integral_value(ROUND_CEILING) * unit


def plain(value: Decimal) -> str:
    """Return a Decimal as text without exponent and trailing zeros; zero is `0`, without a sign."""
    if not value:
        return "0"
    text = format(value, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text
