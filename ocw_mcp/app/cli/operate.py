"""Shows the status of a book, and sends commands of the operator to its engine."""

import os
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
from rich.text import Text

from ocw_mcp.adapters.control import commands, passphrase
from ocw_mcp.adapters.store.directory import is_locked
from ocw_mcp.adapters.store.reader import read_book
from ocw_mcp.adapters.store.views import jsonable
from ocw_mcp.adapters.store.views.decisions import ThinkingCost
from ocw_mcp.app.cli.control import ask_passphrase, require_terminal, typed
from ocw_mcp.app.cli.lists import spent_text
from ocw_mcp.app.cli.options import print_result
from ocw_mcp.app.output import STATE_STYLES, clean, gain_style
from ocw_mcp.app.views.live import OutlookSummary
from ocw_mcp.domain.errors import BookError, SettingsError
from ocw_mcp.domain.money import plain
from ocw_mcp.domain.settlement import read_settlement
from ocw_mcp.domain.state import MARKET_DATA, Fall, Lowered, Mode, TradingState
from ocw_mcp.domain.steps import WITHIN_DRAWDOWN, Verb
from ocw_mcp.domain.text import printable
from ocw_mcp.domain.time import iso
from ocw_mcp.render.quotations import quoted
from ocw_mcp.render.text import HASH_SHOWN, average, cents, day_result, lowered_text

TAKEN_WITHIN_S = 2.0
"""Wall time (s) that `ocw` waits for the engine to take a command."""
_LOOK_S = 0.02

_OUTCOMES = {
    Verb.HALT: "no new risk is taken, and stops stay",
    Verb.FLATTEN: "no new risk is taken, and every position is closed",
    Verb.RESUME: "new risk may be taken again",
    Verb.APPROVE: "{subject} is approved",
    Verb.DENY: "{subject} is denied",
    Verb.PAUSE: "the agent is not woken any more",
    Verb.GO_ON: "the agent continues with {subject}",
    Verb.TAKE_OVER: "{subject} is under manual control",
    Verb.SETTLE: "the order is settled as {subject}",
}
"""The effect of a command, by its verb."""


def status(state: Path) -> dict[str, Any]:
    """Return the state of a book, ready for JSON. The book is only read. Raises BookError if there is no book."""
    return {
        "running": is_locked(state),
        "waiting_commands": commands.count_waiting(state),
        "halt_file": commands.halted_by_file(state),
        **jsonable(read_book(state)),
    }


def status_text(view: dict[str, Any]) -> Text:
    """Return the status of a book as text for a terminal."""
    summary, stamp, waiting = view["summary"] or {}, view["stamp"], view["waiting_commands"]
    market, state = stamp["market"], summary.get("state", "not started")
    count = f" · {waiting} command(s) waiting" if waiting else ""
    lines: list[str | Text] = [
        f"book {view['book']} · {stamp['mode']} · {market['kind']} {stamp['product']} {', '.join(market['symbols'])}",
        Text.assemble(
            f"engine {'running' if view['running'] else 'not running'} · state ",
            (clean(state), STATE_STYLES.get(state, "")),
            " · waiting commands are not readable by this user" if waiting is None else count,
        ),
    ]
    if view["halt_file"]:
        halted = f"the file {commands.HALT} exists: the engine halts, and no resume is possible until it is deleted"
        lines.append(Text(halted, "bold red"))
    if summary:
        lines += _summary_lines(summary)
    lines += [
        spent_text(msgspec.convert(view["thinking"], ThinkingCost | None)),
        f"journal {view['events']} events, {view['orders']} orders, {view['fills']} fills · head {view['chain_head']}",
        f"fingerprint {view['fingerprint']}",
    ]
    return Text("\n").join(line if isinstance(line, Text) else Text(clean(line)) for line in lines if line)


def _summary_lines(summary: dict[str, Any]) -> Iterator[str | Text]:
    """Yield the lines of the engine's last summary, which lacks some keys in books of earlier versions."""
    limit = " (limit reached: no entries today)" if summary["daily_loss_reached"] else ""
    result = day_result(Decimal(summary["daily_loss"]))
    yield f"as of {iso(summary['at'])} · equity {cents(Decimal(summary['equity']))} · {result}{limit}"
    if summary.get("lowered") is not None:
        lowered = msgspec.convert(summary["lowered"], Lowered)
        ends = "it ends when the data return" if lowered.by == MARKET_DATA else "ocw resume allows new risk again"
        yield f"{summary['state']} {lowered_text(lowered)}; {ends}"
    for subject, why in summary.get("degraded", {}).items():
        yield Text(clean(f"market data degraded, {subject}: {why}"), "yellow")
    if summary.get("outlook"):
        yield from outlook_lines(summary["scale"], msgspec.convert(summary["outlook"], OutlookSummary))
    yield from _exchange_lines(summary.get("exchange") or {})
    yield from map(_position, summary["positions"])
    if not summary["positions"]:
        yield "no open position"
    agent, policy = summary.get("agent", {}), summary.get("policies")
    if agent.get("name") and policy:
        yield f"agent {agent['name']} · policy {policy['name']} ({policy['hash'][:HASH_SHOWN]})"
    if agent.get("paused_by"):
        yield f"the agent is paused by {agent['paused_by']}"
    yield from (f"{symbol} is under manual control of {by}" for symbol, by in agent.get("held", {}).items())
    yield from (Text(clean(approval_text(each)), "yellow") for each in summary.get("approvals", ()))


def outlook_lines(scale: object, outlook: OutlookSummary) -> Iterator[str]:
    """Yield the factor on size limits with its reasons, and the extreme derivatives readings if there are some."""
    unknown = "".join(f"; {name} unknown: {why}" for name, why in outlook.unknown.items())
    yield f"size limits ×{scale} ({outlook.scale_reason}{unknown})"
    if outlook.extremes:
        each = ", ".join(f"{symbol} {' '.join(names)}" for symbol, names in outlook.extremes.items())
        yield f"extreme derivatives: {each}"


def _exchange_lines(account: dict[str, Any]) -> Iterator[str | Text]:
    """Yield the lines of the account at the exchange; none on paper."""
    if account.get("balances"):
        yield "balances " + ", ".join(f"{total} {asset}" for asset, total in account["balances"].items())
    if account.get("refuses_entries"):
        yield Text(clean(f"no entries: {account['refuses_entries']}"), "yellow")
    if account.get("busy_until"):
        yield Text(f"no entries until {iso(account['busy_until'])}: the exchange gets too many requests", "yellow")
    if account.get("adopted"):
        yield f"opened by others, and under a stop of this book: {', '.join(account['adopted'])}"
    for symbol, quantity in account.get("not_in_the_books", {}).items():
        yield Text(clean(f"not in the books, and without a stop of this book: {quantity} {symbol}"), "yellow")
    if account.get("orders_of_others"):
        yield f"{account['orders_of_others']} order(s) on the account are not of this book"


def send_command(
    state: Path, verb: Verb, subject: str = "", *, as_json: bool, before: str = "", after: str = ""
) -> None:
    """Write a command for the engine of a book, wait at most `TAKEN_WITHIN_S` for the result, and print the result.

    `subject` is an approval or a symbol, or empty for the whole book. `before` and `after` are lines printed around the
    result. The printed state and positions (signed quantities in the base asset) are those after the command.

    Raises BookError if there is no book, or if the command cannot be written.
    """
    read_book(state)
    now_ns = time.time_ns()  # noqa: TID251 - orders commands by arrival; it never enters the engine
    id_ = f"{now_ns:x}-{os.getpid():x}"
    person = os.environ.get("USER") or os.environ.get("USERNAME") or "operator"
    result = _result(state, commands.write_command(state, verb, person, id_, now_ns, subject))
    summary = read_book(state).summary or {}
    message = "\n".join(filter(None, (before, f"{verb}: {_message(verb, subject, result, summary)}", after)))
    document = {
        "command": verb.value,
        "id": id_,
        "subject": None if subject in ("", WITHIN_DRAWDOWN) else subject,
        "result": result,
        "state": summary.get("state"),
        "positions": {each["symbol"]: each["quantity"] for each in summary.get("positions", ())},
        "message": message,
    }
    print_result(document, [message], as_json)


def _result(state: Path, file: Path) -> str:
    """Return `refused`, `taken`, `waiting` if no engine runs, or `pending` if it did not take the command in time."""
    if not is_locked(state):
        return "waiting"
    for _ in range(round(TAKEN_WITHIN_S / _LOOK_S)):
        if not file.exists():
            break
        time.sleep(_LOOK_S)  # noqa: TID251 - waits for another process; no engine runs in this one
    if file.exists():
        return "pending"
    return "refused" if commands.is_refused(file) else "taken"


def _message(verb: Verb, subject: str, result: str, summary: dict[str, Any]) -> str:
    outcome = _OUTCOMES[verb].format(subject=subject or "every symbol")
    match result:
        case "waiting":
            return f"the command waits, since no engine runs on this book; at the next start {outcome}"
        case "pending":
            return (
                f"{outcome} once the engine takes the command; it has not within {TAKEN_WITHIN_S:g} s, since it reads "
                "its journal or its market's history, or is busy; ocw status shows whether it has"
            )
        case "refused":
            return "the engine refused the command, and nothing was done; its log says why"
    if verb is Verb.RESUME and summary.get("state") != TradingState.ACTIVE:
        by_data = (summary.get("lowered") or {}).get("by") == MARKET_DATA
        todo = "it takes new risk when the market data return" if by_data else "resume again"
        return f"the engine has taken the command, but still takes no new risk: {_stands(summary)}; {todo}"
    if verb is Verb.SETTLE:
        return "the engine has taken the command; if the outcome was known, the order stays as it was: ocw orders --all"
    if verb is Verb.FLATTEN and summary.get("positions"):
        outcome = "no new risk is taken, and the open positions are being closed"
    return f"{outcome}; the engine has taken the command: {_stands(summary)}"


def _stands(summary: dict[str, Any]) -> str:
    """Return the state of a book and its open positions, in one clause."""
    held = [f"{each['symbol']} {each['quantity']}" for each in summary.get("positions", ())]
    return f"{summary.get('state', 'not started')}, {'still open: ' + ', '.join(held) if held else 'no open position'}"


def resume(state: Path, *, paper: bool, accept_drawdown: bool, as_json: bool) -> None:
    """Send a resume after a person's confirmation: `paper` for a paper book, else the passphrase.

    A drawdown beyond the limit needs a second confirmation: `accept_drawdown`, or a typed yes.

    Raises BookError while the file HALT exists, SettingsError if a person cannot confirm or does not type yes.
    """
    if commands.halted_by_file(state):
        raise BookError(commands.halt_forbids_resume(state))
    summary = read_book(state).summary or {}
    fall = msgspec.convert(summary["drawdown"], Fall, strict=False) if "drawdown" in summary else None
    warning = ""
    if fall is not None and fall.beyond and summary["state"] != TradingState.ACTIVE:
        warning = f"{fall}; a resume accepts that, and the next drawdown is measured from the equity at that time"
    must_type = bool(warning) and not accept_drawdown
    if must_type:
        require_terminal(f"{warning}. A second confirmation is typed", ", but --accept-drawdown gives it")
    require_person(state, "let this {mode} book take new risk again", paper=paper)
    if must_type and typed(f"{warning}. Type yes to resume anyway: ").strip().lower() != "yes":
        raise SettingsError("the answer is not yes; nothing was changed")
    send_command(state, Verb.RESUME, "" if warning else WITHIN_DRAWDOWN, as_json=as_json, before=warning)


def settle(state: Path, subject: str, *, paper: bool, as_json: bool) -> None:
    """Send the settlement of an order of unknown outcome after a person's confirmation, as in `require_person`.

    Raises SettingsError if `subject` is no settlement, or if a person cannot confirm.
    """
    if read_settlement(subject) is None:
        raise SettingsError(
            f"{subject[:60]!r} is no settlement; expected REF gone, or REF filled PRICE QUANTITY, such as: "
            "ocw settle 12-e-0 filled 61250.5 0.02; ocw orders shows the references"
        )
    require_person(state, "declare the outcome of an order of this {mode} book", paper=paper)
    send_command(state, Verb.SETTLE, subject, as_json=as_json)


def require_person(state: Path, action: str, *, paper: bool) -> None:
    """Require a person's confirmation of an action: `paper` for a paper book, else the passphrase.

    In `action`, `{mode}` is replaced by the book's mode. Raises BookError if there is no book, SettingsError without a
    terminal or passphrase.
    """
    mode = read_book(state).stamp.mode
    if paper and mode is Mode.PAPER:
        return
    action = action.format(mode=mode)
    if not passphrase.is_set(state):
        way = "confirm it with --paper, or set" if mode is Mode.PAPER else "set"
        raise SettingsError(
            f"only a person may {action}; {way} a passphrase first, with ocw passphrase set --state {state}"
        )
    otherwise = "; a paper book also accepts --paper, without a passphrase" if mode is Mode.PAPER else ""
    ask_passphrase(state, f"the passphrase, to {action}: ", otherwise)


def approval_text(waiting: dict[str, Any]) -> str:
    """Return a pending approval as text: the order, its terms, its reason, and the commands that answer it."""
    why = f": {quoted(waiting['reason'], 200)}" if waiting["reason"] else ""
    terms = [f"{name} {waiting[name]}" for name in ("stop", "target", "limit", "leverage") if waiting[name] is not None]
    order = f"{waiting['action']} ({waiting['side']}) {waiting['quantity']} {waiting['symbol']}"
    return (
        f"  approval {waiting['id']} is pending until {iso(waiting['until'])} (market time): {order} at about "
        f"{', '.join([waiting['price'], *terms])}, requested by {printable(waiting['by'])}{why}; "
        f"ocw approve {waiting['id']} or ocw deny {waiting['id']}"
    )


def _position(position: dict[str, Any]) -> Text:
    stop = f"stop {position['stop']}" if position["protected"] else "UNPROTECTED"
    paid, unrealised = plain(average(Decimal(position["average_price"]))), Decimal(position["unrealised"])
    return Text.assemble(
        clean(f"  {position['symbol']} {position['quantity']} at {paid}, mark {position['mark']}, unrealised"),
        " ",
        (cents(unrealised, signed=True), gain_style(unrealised)),
        ", ",
        (stop, "" if position["protected"] else "bold red"),
        f" trailing {plain(Decimal(position['trail']) * 100)}%" if position.get("trail") else "",
        f", target {position['target']}" if position.get("target") else "",
    )
