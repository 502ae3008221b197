"""Whether one policy is stricter than another: `[tainted] policy` has to name a stricter one."""

from collections.abc import Collection
from fnmatch import fnmatchcase
from typing import Any, Final, get_args

from pydantic.fields import FieldInfo

from ocw_mcp.domain.policies import Policies, policy_keys, value_of
from ocw_mcp.domain.policy_table import Stricter, stricter_of

_KEYS_SHOWN: Final = 5


def as_strict(declared: FieldInfo, one: Any, other: Any) -> bool:
    """Return whether `one` is at least as strict as `other`, both values of a limit's key."""
    match stricter_of(declared):
        case Stricter.LOWER:
            return bool(one <= other)
        case Stricter.HIGHER:
            return bool(one >= other)
        case Stricter.FEWER:
            return _covers(other, one)
        case Stricter.MORE:
            return _covers(one, other)
        case _:
            choices = get_args(declared.annotation)
            return choices.index(one) <= choices.index(other)


def looser_and_stricter(one: Policies, than: Policies) -> tuple[list[str], list[str]]:
    """Return the keys of limits, in tables of both, in which one policy is looser than another, and is stricter."""
    looser, stricter = [], []
    for key, declared in policy_keys():
        mine, theirs = value_of(one, key), value_of(than, key)
        if stricter_of(declared) is None or mine is None or theirs is None:
            continue
        if not as_strict(declared, mine, theirs):
            looser.append(key)
        elif not as_strict(declared, theirs, mine):
            stricter.append(key)
    return looser, stricter


def not_stricter(strict: Policies, usual: Policies, keys: Collection[str]) -> str:
    """Return a sentence if the policy of `[tainted]` is not stricter than the usual one in `keys`; else nothing."""
    looser, stricter = ([key for key in found if key in keys] for found in looser_and_stricter(strict, usual))
    if stricter and not looser:
        return ""
    if looser:
        more = f" and {len(looser) - _KEYS_SHOWN} more" if len(looser) > _KEYS_SHOWN else ""
        why = f"{', '.join(looser[:_KEYS_SHOWN])}{more} {'are' if len(looser) > 1 else 'is'} looser there"
    else:
        why = "it is the same policy" if strict == usual else "no limit of a tainted entry is stricter there"
    return (
        f"[tainted] policy = {strict.name} is not stricter than {usual.name}: {why}; a tainted entry "
        "(decided after reading texts of others) has to pass the limits of both; name a stricter policy there"
    )


def _covers(patterns: tuple[str, ...], others: tuple[str, ...]) -> bool:
    """Return whether each of `others` is one of some patterns, or is matched by one."""
    return all(any(other == pattern or fnmatchcase(other, pattern) for pattern in patterns) for other in others)
