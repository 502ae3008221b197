"""Loads policies (TOML) and prompts (Markdown), each with the hash that is stored with every decision and order."""

import hashlib
import json
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time
from decimal import Decimal
from difflib import get_close_matches
from fnmatch import fnmatchcase
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple, get_origin

from pydantic import AwareDatetime, BaseModel, ValidationError
from pydantic_core import ErrorDetails

from ocw_mcp.adapters.control.mandate import Mandate
from ocw_mcp.app.resources import shipped, shipper
from ocw_mcp.app.settings import read_text, refusal
from ocw_mcp.domain.errors import SettingsError
from ocw_mcp.domain.policies import MandatePolicy, Policies, policy_keys, table_of, value_of, value_text
from ocw_mcp.domain.policy_table import OPTIONAL
from ocw_mcp.domain.time import SECOND, span_ms, span_name

# No sensible limit is outside this range; larger numbers take megabytes to print, smaller ones vanish in rounding.
_SMALLEST = Decimal("1e-12")
_LARGEST = Decimal("1e15")

_EXTENDS = "extends"
_LONGEST_NAME = 40
_LONGEST_CHAIN = 3
"""The most files of a chain: a policy file, and the files that it extends."""
STRICTEST = "strictest value"
"""The origin of a key that no file of a chain sets."""


@dataclass(frozen=True, slots=True)
class LoadedPolicies:
    """The policies of a file, and those of the file that its `[tainted]` names."""

    policies: Policies
    hash: str
    """The SHA-256 over the texts (UTF-8, line feeds) of the policy file, its `[tainted]` file and every file
    that they extend, and over the strictest values used for missing keys."""
    source_name: str
    strict: Policies
    """The policies for entries of tainted decisions: decisions made after the agent read untrusted text."""
    origins: Mapping[str, str] = field(default_factory=dict)
    """For each key, such as `order.max_notional`: the file that sets it, or `STRICTEST` or `OPTIONAL` if none does."""
    remarks: tuple[str, ...] = ()
    """One sentence for each policy (`policies`, `strict`) that lacks keys, with these keys and the values used."""


class _Chain(NamedTuple):
    """A policy file with the files that it extends: values, all texts, origins of the keys, and the missing keys."""

    policies: Policies
    texts: tuple[str, ...]
    origins: Mapping[str, str]
    missing: str


@dataclass(frozen=True, slots=True)
class LoadedPrompts:
    """The prompts by file name without `.md`; `hash` is the SHA-256 over names and texts."""

    texts: dict[str, str]
    hash: str


def load_policies(directory: Path | None, name: str = "default") -> LoadedPolicies:
    """Load `name`.toml from a directory or the shipped policies, or a given file. Raises SettingsError."""
    folder = shipped("policies") if directory is None else directory
    path = folder if folder.is_file() else _policy_path(folder, name)
    usual = _read(path)
    strict_path = _named(path, "tainted.policy", usual.policies.tainted.policy, itself=True)
    strict = _read(strict_path)
    covered = [*usual.texts, *strict.texts, *filter(None, (usual.missing, strict.missing))]
    remarks = tuple(
        f"{each.name} lacks keys, and each has its strictest value: {chain.missing}; set them, or set only the keys "
        f'that differ from a shipped policy, with {_EXTENDS} = "default" before the first table'
        for each, chain in {path: usual, strict_path: strict}.items()
        if chain.missing
    )
    digest = hashlib.sha256("\0".join(covered).encode()).hexdigest()
    return LoadedPolicies(usual.policies, digest, path.name, strict.policies, usual.origins, remarks)


def with_every(loaded: LoadedPolicies, every: str) -> LoadedPolicies:
    """Return the policies with a fixed time between wakes, such as `15m`. Raises SettingsError for another text."""
    try:
        name = span_name(span_ms(every))
    except ValueError as error:
        raise SettingsError(f"every: {error}") from None
    used = loaded.policies
    gate = used.gate.model_copy(update={"every": name})
    return replace(
        loaded,
        policies=used.model_copy(update={"gate": gate, "name": f"{used.name} every {name}"}),
        hash=hashlib.sha256(f"{loaded.hash}\0every={name}".encode()).hexdigest(),
    )


def under_mandate(loaded: LoadedPolicies, mandate: Mandate) -> LoadedPolicies:
    """Return the policies with the stricter of their own [mandate] and a sealed one. The sealed one counts in the hash.

    Raises SettingsError if no symbol is in both.
    """
    until = datetime.fromtimestamp(mandate.expires_at / SECOND, UTC)
    given = MandatePolicy(amount=mandate.amount, symbols=mandate.symbols, expires=until)

    def bound(policies: Policies) -> Policies:
        own = policies.mandate or given
        symbols = tuple(each for each in given.symbols if any(fnmatchcase(each, pattern) for pattern in own.symbols))
        if not symbols:
            raise SettingsError(
                f"the mandate is for {', '.join(given.symbols)}, and mandate.symbols of the policy {policies.name} "
                f"allows only {', '.join(own.symbols)}; expected a symbol in both; renew the mandate"
            )
        both = MandatePolicy(
            amount=min(own.amount, given.amount), symbols=symbols, expires=min(own.expires, given.expires)
        )
        return policies.model_copy(update={"mandate": both})

    terms = f"{loaded.hash}\0mandate={mandate.amount:f} {','.join(mandate.symbols)} {mandate.expires_at}"
    digest = hashlib.sha256(terms.encode()).hexdigest()
    return replace(loaded, policies=bound(loaded.policies), strict=bound(loaded.strict), hash=digest)


def _read(path: Path) -> _Chain:
    """Read a policy file and the files that it extends. Raises SettingsError that lists all problems of the chain."""
    return _checked(path, tuple(_chain(path).items()), shipped("policies"))


@lru_cache(maxsize=8)
def _checked(path: Path, files: tuple[tuple[Path, str], ...], folder: Path) -> _Chain:
    """Return the policies of a chain of files and texts, cached: a process loads the shipped policies often.

    `folder` has the shipped policies. Raises SettingsError that lists all problems of the chain.
    """
    data: dict[str, Any] = {}
    given: dict[str, str] = {}
    for each, text in reversed(files):
        own = {key: value for key, value in _tables(text).items() if key != _EXTENDS}
        # A file does not inherit its name.
        data.pop("name", None)
        given.pop("name", None)
        # Two files of a chain may have the same name, so a shipped one is marked.
        origin = f"{each.name} (shipped)" if each != path and each.parent == folder else each.name
        for table, values in own.items():
            is_table = isinstance(values, Mapping)
            data[table] = {**data[table], **values} if is_table and isinstance(data.get(table), dict) else values
            keys = [table, *(f"{table}.{key}" for key in (values if is_table else ()))]
            given |= dict.fromkeys(keys, origin)
    faults = dict(_bad_leaves(data, Policies, ()))
    problems = list(faults.items())
    policies = None
    try:
        policies = Policies.model_validate(data)
    except ValidationError as error:
        problems += _sentences(error, faults)
    if policies is None or problems:
        files_of = [(text, given.get(".".join(place[:2]), path.name)) for place, text in problems]
        raise refusal(str(path), [text if file == path.name else f"{text} (in {file})" for text, file in files_of])
    origins = {
        key: given.get(key, OPTIONAL if OPTIONAL in declared.metadata else STRICTEST)
        for key, declared in policy_keys()
        if value_of(policies, key) is not None
    }
    lacking = [key for key, origin in origins.items() if origin == STRICTEST]
    missing = ", ".join(f"{key} {value_text(value_of(policies, key), ' ')}" for key in lacking)
    return _Chain(policies, tuple(text for _, text in files), origins, missing)


def _chain(path: Path) -> dict[Path, str]:
    """Read the texts of a policy file and of the files that it extends, the file itself first."""
    files: dict[Path, str] = {}
    base: Path | None = path
    while base is not None:
        chain = " -> ".join(each.name for each in (*files, base))
        if base in files:
            raise refusal(str(path), [f"extends in a circle: {chain}; let one of them extend nothing"])
        if len(files) == _LONGEST_CHAIN:
            raise refusal(str(path), [f"extends too many: {chain}; expected a chain of at most {_LONGEST_CHAIN} files"])
        text = read_text(base, shipper())
        try:
            data = _tables(text)
        except (ValueError, ArithmeticError, RecursionError) as error:
            raise refusal(str(base), [f"is not valid TOML: {error}; correct it"]) from error
        files[base] = text
        base = _named(base, _EXTENDS, data[_EXTENDS], itself=False) if _EXTENDS in data else None
    return files


@lru_cache(maxsize=8)
def _tables(text: str) -> Mapping[str, Any]:
    """Return the tables of a policy file. The shipped default is in most chains, so parsed texts are cached."""
    return tomllib.loads(text, parse_float=Decimal)


def _named(path: Path, key: str, name: object, *, itself: bool) -> Path:
    """Return the file that `key` in `path` names: in the same folder, or shipped; `path` itself only if `itself`."""
    if not isinstance(name, str) or not 0 < len(name) <= _LONGEST_NAME:
        expected = f"expected the name of a policy, of at most {_LONGEST_NAME} characters and in quotes"
        raise refusal(str(path), [f"{key} is {_shown(name)}; {expected}; correct it"])
    beside = path.parent / f"{name}.toml"
    try:
        if beside.is_file() and (itself or not beside.samefile(path)):
            return beside
        return _policy_path(shipped("policies"), name)
    except (SettingsError, OSError, ValueError) as error:
        problem = f"{key} must name a policy file in the same folder, or a shipped one: {error}"
        raise refusal(str(path), [problem]) from None


def load_prompts(directory: Path | None) -> LoadedPrompts:
    """Load the Markdown files of a directory, or the shipped prompts, except README.md. Raises SettingsError."""
    folder = shipped("prompts") if directory is None else directory
    files = _files(folder, "prompts", ".md")
    texts = {path.stem: read_text(path, shipper()) for path in files if path.name != "README.md"}
    canonical = json.dumps(texts, sort_keys=True, ensure_ascii=False).encode()
    return LoadedPrompts(texts, hashlib.sha256(canonical).hexdigest())


def _policy_path(folder: Path, name: str) -> Path:
    offered = {path.stem: path for path in _files(folder, "policies", ".toml")}
    if name in offered:
        return offered[name]
    expected = f"one of {', '.join(offered)}" if offered else "at least one .toml file there"
    meant = "".join(f"; did you mean {each}?" for each in get_close_matches(name, offered, n=1))
    raise SettingsError(f"there is no policy {name!r} in {folder}; expected {expected}{meant}")


def _files(folder: Path, kind: str, suffix: str) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if path.suffix == suffix)
    except OSError as error:
        expected = f"a {suffix} file or a directory of them" if kind == "policies" else f"a directory of {suffix} files"
        raise SettingsError(
            f"no {kind} can be read from {folder} ({error.strerror}); expected {expected}; "
            "check the path and its permissions"
        ) from error


def _bad_leaves(
    data: Mapping[str, Any], model: type[BaseModel], above: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield faults that pydantic does not find: a text or a boolean for a number, and numbers of an absurd size."""
    for key, value in data.items():
        place = (*above, key)
        declared = model.model_fields.get(key)
        kind, table = (declared.annotation, table_of(declared)) if declared else (None, None)
        if table is not None and isinstance(value, Mapping):
            yield from _bad_leaves(value, table, place)
        elif get_origin(kind) is dict and isinstance(value, Mapping):
            for name, number in value.items():
                if fault := _fault_of_number(number):
                    yield (*place, name), f"{'.'.join((*place, name))} {fault}"
        elif kind in (int, float, Decimal) and (fault := _fault_of_number(value)):
            yield place, f"{'.'.join(place)} {fault}"
        elif kind is AwareDatetime and not (isinstance(value, datetime) and value.tzinfo):
            yield place, f"{'.'.join(place)} is {_shown(value)}; expected {_MOMENT}"


def _fault_of_number(value: Any) -> str | None:
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        return f"is {_shown(value)}; expected a number; write it without quotes"
    number = Decimal(value)
    if not number.is_finite():
        return f"is {number}; expected a finite number; write one"
    if number and not _SMALLEST <= abs(number) <= _LARGEST:
        return f"is too large or too small; expected 0, or {_SMALLEST} to {_LARGEST}; correct it"
    return None


def _sentences(error: ValidationError, known: Mapping[tuple[str, ...], str]) -> Iterator[tuple[tuple[str, ...], str]]:
    # A check over a whole table means nothing while one of its numbers is invalid.
    doubtful = {*known, *(place[:-1] for place in known)}
    all_found = [(tuple(map(str, one["loc"])), one) for one in error.errors(include_url=False)]
    found = [(place, one) for place, one in all_found if place not in doubtful]
    unknown = {
        place: get_close_matches(place[-1], _known(place[:-1]), n=1)
        for place, one in found
        if one["type"] == "extra_forbidden"
    }
    meant = {(*place[:-1], *match) for place, match in unknown.items()}
    for place, one in found:
        # A misspelt required key is also reported as missing, and a list whose entries are invalid as too short.
        misspelt = one["type"] == "missing" and place in meant
        if not misspelt and not (one["type"] == "too_short" and one["input"]):
            yield place, _sentence(place, one, unknown.get(place, []))


def _sentence(place: tuple[str, ...], one: ErrorDetails, meant: list[str]) -> str:
    """Return the sentence on an error of pydantic; `meant` has the known key that an unknown key resembles, if any."""
    kind, value = one["type"], one["input"]
    is_table = len(place) == 1 and place[0] != "name"
    label = f"[{place[0]}]" if is_table else ".".join(place)
    if kind == "extra_forbidden":
        label = f"[{place[0]}]" if len(place) == 1 and isinstance(value, Mapping) else ".".join(place)
        if meant:
            return f"{label} is unknown; did you mean {meant[0]}?"
        return f"{label} is unknown; expected one of {', '.join(_known(place[:-1]))}; remove it"
    if kind == "missing":
        wanted = "a table" if is_table else "a value"
        return f"{label} is missing; expected {wanted}; the shipped default.toml shows one"
    if kind == "value_error":
        return f"{label}: {one['ctx']['error']}"
    bounds = {name: f"{bound:g}" if isinstance(bound, float) else bound for name, bound in one.get("ctx", {}).items()}
    expected = _EXPECTED[kind].format(**bounds) if kind in _EXPECTED else one["msg"].removeprefix("Input should be ")
    return f"{label} is {_shown(value)}; expected {expected}; correct it"


_MOMENT = "a time with its zone, such as 2026-12-31T00:00:00Z; write it without quotes"
_NAMES = {str: "long text", list: "list", int: "number", Decimal: "number"}
_EXPECTED = {
    "greater_than": "more than {gt}",
    "greater_than_equal": "{ge} or more",
    "less_than": "less than {lt}",
    "less_than_equal": "{le} or less",
    "int_from_float": "a whole number",
    "model_type": "a table",
    "dict_type": "a table, such as {{ 15m = 4 }}",
    "tuple_type": 'a list, such as ["..."]',
    "string_type": "a text in quotes",
    "too_short": "at least {min_length} entry",
    "string_too_short": "at least {min_length} character",
    "string_too_long": "at most {max_length} characters",
}


def _known(above: tuple[str, ...]) -> list[str]:
    """Return the keys that the table at the path `above` may have."""
    model: type[BaseModel] = Policies
    for key in above:
        table = table_of(model.model_fields[key])
        assert table is not None
        model = table
    return [*model.model_fields, *(() if above else (_EXTENDS,))]


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | Decimal) and _fault_of_number(value) is None:
        return str(value)
    if isinstance(value, Mapping):
        return "a table"
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, str) and len(value) <= 60:
        return repr(value)
    return f"a {_NAMES.get(type(value), type(value).__name__)}"
