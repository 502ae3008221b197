"""What a decider answers is data: it is checked before anything of it enters the engine.

An answer has to be of the decision's type throughout, storable as it is, and of sizes that somebody could mean. Whether
it makes sense on the account is for the desk to say, leg by leg.
"""

from decimal import Decimal

import msgspec

from ocw_mcp.domain.decision import Decision

MOST_LEGS = 64
MOST_CONDITIONS = 64
MOST_SIGNALS = 64
"""Of one leg."""
LONGEST_SYMBOL = 40
LONGEST_TEXT = 4_000
"""Characters of any text of an answer."""
LARGEST = Decimal("1e15")
FINEST = -18
"""Decimal places beyond which no price or size lies."""
LONGEST_SPAN_S = 10**9
MOST_LEVERAGE = 1_000
"""What is above, or as far below 0, nobody means; what the policy allows is for the desk to say."""


def sound(answer: object) -> Decision:
    """The answer as the journal can hold it.

    Raises ValueError, or msgspec's ValidationError, with one clause on what is wrong.
    """
    try:
        decision = msgspec.json.decode(msgspec.json.encode(answer), type=Decision)
    except (msgspec.MsgspecError, UnicodeError, TypeError, OverflowError) as error:
        raise ValueError(f"malformed answer: {error}") from error
    conditions = decision.wake_conditions or ()
    if len(decision.legs) > MOST_LEGS or len(conditions) > MOST_CONDITIONS:
        raise ValueError(f"malformed answer: {len(decision.legs)} legs and {len(conditions)} conditions are too many")
    for leg in decision.legs:
        if len(leg.signals) > MOST_SIGNALS:
            raise ValueError(f"malformed answer: {len(leg.signals)} signals of one leg are too many")
        for number in (leg.size, leg.stop, leg.target, leg.limit):
            if number is not None and not _meant(number):
                raise ValueError(f"malformed answer: a number of the leg on {leg.symbol[:LONGEST_SYMBOL]} is absurd")
        if leg.leverage is not None and abs(leg.leverage) > MOST_LEVERAGE:
            raise ValueError(f"malformed answer: the leverage of the leg on {leg.symbol[:LONGEST_SYMBOL]} is absurd")
    spans = [
        decision.next_check_s,
        *(each.expires_s for each in conditions),
        *(leg.limit_expires_s for leg in decision.legs),
    ]
    if any(span is not None and abs(span) > LONGEST_SPAN_S for span in spans):
        raise ValueError("malformed answer: a span of time is absurd")
    texts = [decision.note, decision.cause, *(leg.reasoning for leg in decision.legs)]
    texts += [text for each in conditions for text in (each.metric, each.reason)]
    texts += [signal for leg in decision.legs for signal in leg.signals]
    names = [leg.symbol for leg in decision.legs] + [each.symbol for each in conditions]
    if any(len(text) > LONGEST_TEXT for text in texts) or any(len(name) > LONGEST_SYMBOL for name in names):
        raise ValueError("malformed answer: a text is too long")
    return decision


def _meant(number: Decimal) -> bool:
    """Whether a number can be reckoned with; NaN and infinity can, since the desk refuses them with their code."""
    if not number.is_finite():
        return not number.is_snan()
    exponent = number.as_tuple().exponent
    return isinstance(exponent, int) and exponent >= FINEST and abs(number) <= LARGEST
