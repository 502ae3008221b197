"""Commands of the operator on a book: show, halt, resume and check it."""

import json
import os
import time
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

import msgspec
from rich.text import Text

from ocw_mcp.adapters.control import commands, passphrase
from ocw_mcp.adapters.store.directory import is_locked
from ocw_mcp.adapters.store.reader import read_book, verify_book
from ocw_mcp.adapters.store.views import jsonable
from ocw_mcp.adapters.store.views.decisions import ThinkingCost
from ocw_mcp.app.cli.lists import spent_text
from ocw_mcp.app.cli.person import ask_passphrase, require_terminal, typed
from ocw_mcp.app.output import STATE_STYLES, clean, gain_style, say, working
from ocw_mcp.app.resources import write_env_example
from ocw_mcp.domain.errors import BookError, SettingsError
from ocw_mcp.domain.money import plain
from ocw_mcp.domain.state import Fall, Lowered, Mode, TradingState
from ocw_mcp.domain.steps import WITHIN_DRAWDOWN, Verb
from ocw_mcp.domain.text import printable
from ocw_mcp.domain.time import iso
from ocw_mcp.render.quotations import quoted
from ocw_mcp.render.text import HASH_SHOWN, average, cents, day_result, lowered_text

TAKEN_WITHIN_S = 2.0
"""Wall time (s) that a command waits for the engine to take it."""
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
}
"""The effect of a command, by its verb."""


class CommandResult(msgspec.Struct, frozen=True):
    """The result of a command that an operator wrote for an engine."""

    command: str
    """Its verb."""
    id: str
    subject: str | None
    """An approval or a symbol; None for the whole book."""
    result: Literal["taken", "refused", "pending", "waiting"]
    """`pending`: an engine runs and has not taken it within `TAKEN_WITHIN_S`. `waiting`: no engine runs; the next start
    takes it."""
    state: str | None
    """The state of the book afterwards; None if no engine has run it yet."""
    positions: dict[str, str]
    """The open positions afterwards: signed quantities in the base asset."""
    message: str
    """The same as a sentence."""

    def followed_by(self, sentence: str) -> "CommandResult":
        """Return the result with one more line in its message."""
        return msgspec.structs.replace(self, message=f"{self.message}\n{sentence}")


def show(done: CommandResult, *, as_json: bool) -> None:
    """Print the result of a command: its message, or the whole result as one JSON document."""
    say(json.dumps(msgspec.to_builtins(done), indent=2) if as_json else done.message)


def status(state: Path) -> dict[str, Any]:
    """Return the state of a book from its store, ready for JSON. The book is only read.

    Raises BookError if there is no book.
    """
    return {
        "running": is_locked(state),
        "waiting_commands": commands.count_waiting(state),
        "halt_file": commands.halted_by_file(state),
        **jsonable(read_book(state)),
    }


def status_text(view: dict[str, Any]) -> Text:
    """Return the status of a book as text for a terminal."""
    summary, stamp = view["summary"] or {}, view["stamp"]
    market = stamp["market"]
    state = summary.get("state", "not started")
    lines: list[str | Text] = [
        f"book {view['book']} · {stamp['mode']} · {market['kind']} {stamp['product']} {', '.join(market['symbols'])}",
        Text.assemble(
            f"engine {'running' if view['running'] else 'not running'} · state ",
            (clean(state), STATE_STYLES.get(state, "")),
            _waiting(view["waiting_commands"]),
        ),
    ]
    if view["halt_file"]:
        halted = f"the file {commands.HALT} exists: the engine halts, and no resume is possible until it is deleted"
        lines.append(Text(halted, "bold red"))
    if summary:
        lines += [
            f"as of {iso(summary['at'])} · equity {cents(Decimal(summary['equity']))} · "
            + day_result(Decimal(summary["daily_loss"]))
            + (" (limit reached: no entries today)" if summary["daily_loss_reached"] else ""),
            *_lowered(summary),
            *(_position(position) for position in summary["positions"]),
            "" if summary["positions"] else "no open position",
            _ran_with(summary),
            *_agent(summary.get("agent", {})),
            *(Text(clean(approval_text(each)), "yellow") for each in summary.get("approvals", ())),
        ]
    lines += [
        spent_text(msgspec.convert(view["thinking"], ThinkingCost | None)),
        f"journal {view['events']} events, {view['orders']} orders, {view['fills']} fills · head {view['chain_head']}",
        f"fingerprint {view['fingerprint']}",
    ]
    return Text("\n").join(line if isinstance(line, Text) else Text(clean(line)) for line in lines if line)


def send_command(state: Path, verb: Verb, subject: str = "") -> CommandResult:
    """Write a command for the engine of a book; return its result after at most `TAKEN_WITHIN_S`.

    Raises BookError if there is no book or the command cannot be written.
    """
    read_book(state)
    now_ns = time.time_ns()  # noqa: TID251 - orders commands by arrival; it never enters the engine
    id_ = f"{now_ns:x}-{os.getpid():x}"
    left = commands.write_command(state, verb, by=_person(), command_id=id_, at_ns=now_ns, subject=subject)
    result = _result(state, left)
    summary = read_book(state).summary or {}
    return CommandResult(
        command=verb.value,
        id=id_,
        subject=None if subject in ("", WITHIN_DRAWDOWN) else subject,
        result=result,
        state=summary.get("state"),
        positions={each["symbol"]: each["quantity"] for each in summary.get("positions", ())},
        message=f"{verb}: {_message(verb, subject, result, summary)}",
    )


def _result(state: Path, left: Path) -> Literal["taken", "refused", "pending", "waiting"]:
    if not is_locked(state):
        return "waiting"
    if not _taken(left):
        return "pending"
    return "refused" if commands.is_refused(left) else "taken"


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
        return f"the engine has taken the command, but still takes no new risk: {_stands(summary)}; resume again"
    if verb is Verb.FLATTEN and summary.get("positions"):
        outcome = "no new risk is taken, and the open positions are being closed"
    return f"{outcome}; the engine has taken the command: {_stands(summary)}"


def _taken(left: Path) -> bool:
    """Wait until an engine has taken a command's file. Return False if it has not within `TAKEN_WITHIN_S`."""
    for _ in range(round(TAKEN_WITHIN_S / _LOOK_S)):
        if not left.exists():
            return True
        time.sleep(_LOOK_S)  # noqa: TID251 - waits for another process; no engine runs in this one
    return not left.exists()


def _stands(summary: dict[str, Any]) -> str:
    """Return the state of a book and its open positions, in one clause."""
    held = [f"{each['symbol']} {each['quantity']}" for each in summary.get("positions", ())]
    return f"{summary.get('state', 'not started')}, {'still open: ' + ', '.join(held) if held else 'no open position'}"


def resume(state: Path, *, paper: bool, accept_drawdown: bool = False) -> CommandResult:
    """Send a resume after a person has confirmed it: with `paper` for a paper book, else with the passphrase.

    A drawdown beyond the limit needs a second confirmation: `accept_drawdown`, or a typed yes.

    Raises BookError while the file HALT exists, SettingsError if no person can be asked, or if the answer is not yes.
    """
    if commands.halted_by_file(state):
        raise BookError(commands.halt_forbids_resume(state))
    fall = _fall(state)
    if fall is None:
        require_person(state, "let this {mode} book take new risk again", paper=paper)
        return send_command(state, Verb.RESUME, WITHIN_DRAWDOWN)
    warning = f"{fall}; a resume accepts that, and the next drawdown is measured from the equity at that time"
    if not accept_drawdown:
        require_terminal(f"{warning}. A second confirmation is typed", ", but --accept-drawdown gives it")
    require_person(state, "let this {mode} book take new risk again", paper=paper)
    if not accept_drawdown and typed(f"{warning}. Type yes to resume anyway: ").strip().lower() != "yes":
        raise SettingsError("the answer is not yes; nothing was changed")
    done = send_command(state, Verb.RESUME)
    return msgspec.structs.replace(done, message=f"{warning}\n{done.message}")


def _fall(state: Path) -> Fall | None:
    """Return the fall of a book's equity if it is beyond the drawdown limit, as of the book's last summary."""
    summary = read_book(state).summary or {}
    fall = msgspec.convert(summary["drawdown"], Fall, strict=False) if "drawdown" in summary else None
    return fall if fall is not None and fall.beyond and summary["state"] != TradingState.ACTIVE else None


def require_person(state: Path, action: str, *, paper: bool) -> None:
    """Require a person's confirmation of an action: `paper` for a paper book, else the passphrase.

    `action` may contain `{mode}`. Raises BookError if there is no book, SettingsError if no person can be asked.
    """
    mode = read_book(state).stamp.mode
    if paper and mode is Mode.PAPER:
        return
    action = action.format(mode=mode)
    if not passphrase.is_set(state):
        way = "confirm it with --paper, or set" if mode is Mode.PAPER else "set"
        raise SettingsError(
            f"only a person may {action}; {way} a passphrase and type it here: ocw passphrase set --state {state}"
        )
    otherwise = "; a paper book also accepts --paper, without a passphrase" if mode is Mode.PAPER else ""
    ask_passphrase(state, f"the passphrase, to {action}: ", otherwise)


def init(state: Path) -> str:
    """Make a state directory with an `.env`; return a sentence with its path. Raises SettingsError if it exists."""
    path = write_env_example(state)
    return f"{path} is made, and only you can read it; add the keys that you have, paper trading needs none"


def verify(state: Path, head: str | None, *, quiet: bool = False) -> dict[str, Any]:
    """Check a book's journal; return the result ready for JSON. Raises BookError if there is no book.

    `quiet` shows no progress.
    """
    with working("checking the journal", quiet=quiet) as show_progress:
        found = verify_book(state, head, lambda rows: show_progress(f"checking the journal: {rows:,} rows"))
    result = msgspec.to_builtins(found)
    assert isinstance(result, dict)
    return result


def verify_text(result: dict[str, Any]) -> str:
    """Return the result of a check as text for a terminal."""
    if result["ok"]:
        return f"the journal is consistent: {result['events']} events, head {result['head']}"
    problems = (f"  - {problem}" for problem in result["problems"])
    todo = "run no engine on this book; restore its whole state directory from one backup, or start another book"
    return "\n".join(["the journal is NOT consistent:", *problems, todo])


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


def _lowered(summary: dict[str, Any]) -> list[str]:
    lowered = summary.get("lowered")
    if lowered is None:
        return []
    by = lowered_text(msgspec.convert(lowered, Lowered))
    return [f"{summary['state']} {by}; ocw resume allows new risk again"]


def _ran_with(summary: dict[str, Any]) -> str:
    agent, policy = summary.get("agent", {}).get("name"), summary.get("policies")
    return f"agent {agent} · policy {policy['name']} ({policy['hash'][:HASH_SHOWN]})" if agent and policy else ""


def _agent(agent: dict[str, Any]) -> list[str]:
    paused = [f"the agent is paused by {agent['paused_by']}"] if agent.get("paused_by") else []
    return paused + [f"{symbol} is under manual control of {by}" for symbol, by in agent.get("held", {}).items()]


def _waiting(count: int | None) -> str:
    if count is None:
        return " · waiting commands are not readable by this user"
    return f" · {count} command(s) waiting" if count else ""


def _position(position: dict[str, Any]) -> Text:
    stop = f"stop {position['stop']}" if position["protected"] else "UNPROTECTED"
    paid, unrealised = plain(average(Decimal(position["average_price"]))), Decimal(position["unrealised"])
    return Text.assemble(
        clean(f"  {position['symbol']} {position['quantity']} at {paid}, mark {position['mark']}, unrealised"),
        " ",
        (cents(unrealised, signed=True), gain_style(unrealised)),
        ", ",
        (stop, "" if position["protected"] else "bold red"),
    )


def _person() -> str:
    return os.environ.get("USER") or os.environ.get("USERNAME") or "operator"
