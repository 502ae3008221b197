"""Money is Decimal from intent to fill. Rounding goes by the exchange's filters, and always names its direction."""

from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

ZERO = Decimal(0)
ONE = Decimal(1)


def exact(number: float) -> Decimal:
    """The Decimal that a float was written as: `exact(1935.98) == Decimal("1935.98")`.

    A float keeps every decimal text of up to 15 digits, and its repr gives that text back.
    """
    return Decimal(repr(number))


def floor_to(value: Decimal, unit: Decimal) -> Decimal:
    """The largest multiple of `unit` that is not above `value`."""
    return (value / unit).to_integral_value(ROUND_FLOOR) * unit


def ceil_to(value: Decimal, unit: Decimal) -> Decimal:
    """The smallest multiple of `unit` that is not below `value`."""
    return (value / unit).to_integral_value(ROUND_CEILING) * unit


def plain(value: Decimal) -> str:
    """A Decimal for people: no exponent, no trailing zeros, and one zero without a sign."""
    if not value:
        return "0"
    text = format(value, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text
