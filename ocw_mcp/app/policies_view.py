"""Views of policies: the keys and values of a policy file, and the use of each limit by a book."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
from rich.markup import escape
from rich.table import Table

from ocw_mcp.adapters.store.reader import read_book
from ocw_mcp.app.policy_loader import LoadedPolicies
from ocw_mcp.core.risk.limits import AT_MOST
from ocw_mcp.domain.errors import BookError
from ocw_mcp.domain.money import ZERO, plain
from ocw_mcp.domain.policies import table_of, value_text
from ocw_mcp.domain.policy_table import OPTIONAL
from ocw_mcp.domain.time import iso


def of_file(loaded: LoadedPolicies) -> dict[str, Any]:
    """Return every table and key of a policy file, and the file that sets each key, ready for JSON."""
    tables = loaded.policies.model_dump(mode="json")
    return {"file": loaded.source_name, "hash": loaded.hash, "origins": dict(loaded.origins), **tables}


def of_book(state: Path) -> dict[str, Any]:
    """Return the limits of a book's last run with the use of each, ready for JSON. Raises BookError without a run."""
    view = msgspec.to_builtins(read_book(state))
    summary = view["summary"]
    if not summary:
        raise BookError(f"no engine has run the book in {state} yet, so no limit is used; run the book first")
    shown = {name: summary[name] for name in ("at", "state", "policies", "limits", "paused_until")}
    # Books of earlier versions have no scale, since [scale] was not one of their limits.
    return {"book": view["book"], **shown, "scale": summary.get("scale", "1")}


def file_table(loaded: LoadedPolicies) -> Table:
    """Return a policy file as a table, with the file that sets each key if there are several files."""
    table = Table(title=f"{loaded.source_name}, hash {loaded.hash[:12]}", title_justify="left", box=None)
    several = set(loaded.origins.values()) - {loaded.source_name, OPTIONAL}
    for name, style in (("policy", ""), ("value", "bold"), ("from", ""), ("meaning", "dim")):
        if several or name != "from":
            table.add_column(name, style=style, overflow="fold")

    def add(key: str, value: str, origin: str, meaning: str | None) -> None:
        table.add_row(key, value, *([origin] if several else []), " ".join((meaning or "").split()))

    for name, field in type(loaded.policies).model_fields.items():
        kind, part = table_of(field), getattr(loaded.policies, name)
        if kind is not None and part is None:
            add(name, "not set", "", kind.__doc__)
        for key, info in kind.model_fields.items() if kind is not None and part is not None else ():
            row = f"{name}.{key}"
            add(row, value_text(getattr(part, key), ", "), loaded.origins.get(row, OPTIONAL), info.description)
    return table


def book_table(view: dict[str, Any]) -> Table:
    """Return the limits of a book as a table with the used and the unused part of each limit."""
    policies = view["policies"]
    title = (
        f"book {view['book']}, {view['state']}, {iso(view['at'])}\npolicies {policies['name']} {policies['hash'][:12]}"
    )
    table = Table(title=title, title_justify="left", box=None)
    for name in ("policy", "", "limit", "now", "left"):
        table.add_column(name, justify="left" if name in ("policy", "") else "right")
    for row in view["limits"]:
        limit, used = Decimal(row["limit"]), Decimal(row["used"])
        # Books of earlier versions have no bound: each of their limits is a maximum.
        bound = row.get("bound", AT_MOST)
        left = limit - used if bound == AT_MOST else used - limit
        table.add_row(row["name"], bound, row["limit"], row["used"], plain(max(ZERO, left)))
    remarks = [] if view["scale"] == "1" else [f"size limits are those of the policy x {view['scale']}, see [scale]"]
    if view["paused_until"]:
        remarks.append(f"after losses in a row no entries until {iso(view['paused_until'])}")
    table.caption = escape("\n".join(remarks)) or None
    return table
