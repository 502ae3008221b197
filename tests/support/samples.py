"""Values of any type that msgspec knows: with all fields set, or with only those that have no default."""

from decimal import Decimal
from typing import Any

from msgspec import inspect

_PLAIN: dict[type, Any] = {
    inspect.IntType: 7,
    inspect.FloatType: 1.25,
    inspect.StrType: "té",
    inspect.BoolType: True,
    inspect.DecimalType: Decimal("-0.100"),
    inspect.NoneType: None,
    inspect.BytesType: b"\0\xff",
    inspect.AnyType: "any",
}


def sample(kind: Any, *, full: bool) -> Any:
    """Return a value of a type; of a union the member with the most content, or the first one unless `full`."""
    return _sample(inspect.type_info(kind), full)


def _sample(info: inspect.Type, full: bool) -> Any:
    if type(info) in _PLAIN:
        return _PLAIN[type(info)]
    match info:
        case inspect.EnumType(cls):
            return list(cls)[-1]
        case inspect.LiteralType(values):
            return values[-1]
        case inspect.StructType(cls, fields) | inspect.DataclassType(cls, fields) | inspect.NamedTupleType(cls, fields):
            return cls(**{each.name: _sample(each.type, full) for each in fields if full or each.required})
        case inspect.UnionType(types):
            some = [each for each in types if not isinstance(each, inspect.NoneType)]
            return _sample(some[-1] if full else some[0], full) if full or len(some) == len(types) else None
        case inspect.TupleType(item_types):
            return tuple(_sample(each, full) for each in item_types)
        case inspect.VarTupleType(item_type=item):
            return (_sample(item, full),) if full else ()
        case inspect.ListType(item_type=item):
            return [_sample(item, full)] if full else []
        case inspect.SetType(item_type=item):
            return {_sample(item, full)} if full else set()
        case inspect.FrozenSetType(item_type=item):
            return frozenset({_sample(item, full)}) if full else frozenset()
        case inspect.DictType(key_type=key, value_type=value):
            return {_sample(key, full): _sample(value, full)} if full else {}
    raise AssertionError(f"no sample for {info}")
