"""What a person does to a book from outside: look at it, halt it, resume it, check it."""

import json
import os
import time
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

import msgspec
from rich.text import Text

from ocw_mcp.adapters.control import commands, passphrase
from ocw_mcp.adapters.store.lock import is_locked
from ocw_mcp.adapters.store.reader import read_book, verify_book
from ocw_mcp.adapters.store.views.plain_json import jsonable
from ocw_mcp.adapters.store.views.thinking import ThinkingCost
from ocw_mcp.app.cli.lists import spent_text
from ocw_mcp.app.cli.person import require_terminal, show_who_you_are, typed
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
"""Wall time that a command waits for the engine to take it."""
_LOOK_S = 0.02

_OUTCOMES = {
    Verb.HALT: "no new risk is taken, and stops stay",
    Verb.FLATTEN: "no new risk is taken, and every position is closed",
    Verb.RESUME: "new risk may be taken again",
    Verb.APPROVE: "{subject} is approved",
    Verb.DENY: "{subject} is denied",
    Verb.PAUSE: "the agent is not woken any more",
    Verb.GO_ON: "the agent goes on with {subject}",
    Verb.TAKE_OVER: "{subject} is out of the agent's hands",
}
"""What a command comes to, by its verb."""


class CommandResult(msgspec.Struct, frozen=True):
    """What became of a command that a person left for an engine."""

    command: str
    """Its verb."""
    id: str
    subject: str | None
    """An approval or a symbol; None for the whole book."""
    result: Literal["taken", "refused", "pending", "waiting"]
    """`pending`: an engine runs and has not taken it within `TAKEN_WITHIN_S`. `waiting`: no engine runs; the next start
    takes it."""
    state: str | None
    """The state of the book afterwards; None if its engine has not begun."""
    positions: dict[str, str]
    """The open positions afterwards: signed quantities in the base asset."""
    message: str
    """The same as a sentence."""

    def followed_by(self, sentence: str) -> "CommandResult":
        """The result with one more line in its message."""
        return msgspec.structs.replace(self, message=f"{self.message}\n{sentence}")


def show(done: CommandResult, *, as_json: bool) -> None:
    """Print what became of a command: its sentence, or all of it as one JSON document."""
    say(json.dumps(msgspec.to_builtins(done), indent=2) if as_json else done.message)


def status(state: Path) -> dict[str, Any]:
    """A book as its store tells it, read-only; ready for JSON.

    Raises BookError where there is no book.
    """
    return {
        "running": is_locked(state),
        "waiting_commands": commands.count_waiting(state),
        "halt_file": commands.halted_by_file(state),
        **jsonable(read_book(state)),
    }


def status_text(view: dict[str, Any]) -> Text:
    """A book's status for people."""
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
        halted = f"the file {commands.HALT} lies here: the desk halts, and nothing resumes until it is deleted"
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


def leave(state: Path, verb: Verb, subject: str = "") -> CommandResult:
    """Leave a command for the engine of a book; return what became of it within `TAKEN_WITHIN_S`.

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
            return f"it waits, since no engine runs on this book; at the next start {outcome}"
        case "pending":
            return (
                f"{outcome} once the engine takes it; it has not within {TAKEN_WITHIN_S:g} s, since it reads its "
                "journal or its market's history, or is busy; ocw status shows when it has"
            )
        case "refused":
            return "the engine refused it, and nothing was done; its log says why"
    if verb is Verb.RESUME and summary.get("state") != TradingState.ACTIVE:
        return f"the engine has taken it, and takes no new risk all the same: {_stands(summary)}; resume again"
    if verb is Verb.FLATTEN and summary.get("positions"):
        outcome = "no new risk is taken, and what is open is being closed"
    return f"{outcome}; the engine has taken it: {_stands(summary)}"


def _taken(left: Path) -> bool:
    """Wait until an engine has taken a command's file; False if it has not within `TAKEN_WITHIN_S`."""
    for _ in range(round(TAKEN_WITHIN_S / _LOOK_S)):
        if not left.exists():
            return True
        time.sleep(_LOOK_S)  # noqa: TID251 - waits for another process; no engine runs in this one
    return not left.exists()


def _stands(summary: dict[str, Any]) -> str:
    """The state of a book and its open positions, in one clause."""
    held = [f"{each['symbol']} {each['quantity']}" for each in summary.get("positions", ())]
    return f"{summary.get('state', 'not started')}, {'still open: ' + ', '.join(held) if held else 'no open position'}"


def resume(state: Path, *, paper: bool, accept_drawdown: bool = False) -> CommandResult:
    """Leave a resume, a person's word: on paper `paper` says it, elsewhere and without it the passphrase does.

    A fall beyond the drawdown limit takes a second confirmation: `accept_drawdown`, or a typed yes.

    Raises BookError while the file HALT lies there, SettingsError where no person can be asked, or says no.
    """
    if commands.halted_by_file(state):
        raise BookError(commands.halt_forbids_resume(state))
    fall = _fall(state)
    if fall is None:
        require_person(state, "let this {mode} book take new risk again", paper=paper)
        return leave(state, Verb.RESUME, WITHIN_DRAWDOWN)
    what = f"{fall}; to resume accepts that, and the next fall is measured from the equity of that moment"
    if not accept_drawdown:
        require_terminal(f"{what}. A second confirmation is typed", ", but --accept-drawdown gives it")
    require_person(state, "let this {mode} book take new risk again", paper=paper)
    if not accept_drawdown and typed(f"{what}. Type yes to resume all the same: ").strip().lower() != "yes":
        raise SettingsError("that is not yes; nothing was changed")
    done = leave(state, Verb.RESUME)
    return msgspec.structs.replace(done, message=f"{what}\n{done.message}")


def _fall(state: Path) -> Fall | None:
    """The fall of a book's equity where it is beyond the drawdown limit, as of its last summary."""
    summary = read_book(state).summary or {}
    fall = msgspec.convert(summary["drawdown"], Fall, strict=False) if "drawdown" in summary else None
    return fall if fall is not None and fall.beyond and summary["state"] != TradingState.ACTIVE else None


def require_person(state: Path, what: str, *, paper: bool) -> None:
    """Have a person say what only a person may: on paper `paper` says it, elsewhere and without it the passphrase does.

    Raises BookError where there is no book, SettingsError where no person can be asked.
    """
    mode = read_book(state).stamp.mode
    if paper and mode is Mode.PAPER:
        return
    what = what.format(mode=mode)
    if not passphrase.is_set(state):
        word = "say so with --paper, or set" if mode is Mode.PAPER else "set"
        raise SettingsError(
            f"to {what} is a person's decision; {word} a passphrase and type it here: "
            f"ocw passphrase set --state {state}"
        )
    otherwise = "; on paper --paper says it, without a passphrase" if mode is Mode.PAPER else ""
    show_who_you_are(state, f"the passphrase, to {what}: ", otherwise)


def init(state: Path) -> str:
    """Make a state directory with an `.env`; where it is. Raises SettingsError where there is one already."""
    path = write_env_example(state)
    return f"{path} is made, readable by you alone; fill in what you have, nothing is needed for paper"


def verify(state: Path, head: str | None, *, quiet: bool = False) -> dict[str, Any]:
    """Check a book's journal; ready for JSON. `quiet` shows no progress. Raises BookError where there is no book."""
    with working("checking the journal", quiet=quiet) as tell:
        found = verify_book(state, head, lambda rows: tell(f"checking the journal: {rows:,} rows"))
    result = msgspec.to_builtins(found)
    assert isinstance(result, dict)
    return result


def verify_text(result: dict[str, Any]) -> str:
    """The outcome of a check for people."""
    if result["ok"]:
        return f"the journal holds together: {result['events']} events, head {result['head']}"
    problems = (f"  - {problem}" for problem in result["problems"])
    todo = "let no engine trade on this book; restore its whole state directory from one backup, or begin another book"
    return "\n".join(["the journal does NOT hold together:", *problems, todo])


def approval_text(waiting: dict[str, Any]) -> str:
    """An order that waits for a person."""
    why = f": {quoted(waiting['reason'], 200)}" if waiting["reason"] else ""
    terms = [f"{name} {waiting[name]}" for name in ("stop", "target", "limit", "leverage") if waiting[name] is not None]
    order = f"{waiting['action']} ({waiting['side']}) {waiting['quantity']} {waiting['symbol']}"
    return (
        f"  {waiting['id']} waits until {iso(waiting['until'])} of the market: {order} at about "
        f"{', '.join([waiting['price'], *terms])}, asked by {printable(waiting['by'])}{why}; "
        f"ocw approve {waiting['id']} or ocw deny {waiting['id']}"
    )


def _lowered(summary: dict[str, Any]) -> list[str]:
    lowered = summary.get("lowered")
    if lowered is None:
        return []
    by = lowered_text(msgspec.convert(lowered, Lowered))
    return [f"{summary['state']} {by}; ocw resume lets the desk take new risk again"]


def _ran_with(summary: dict[str, Any]) -> str:
    agent, policy = summary.get("agent", {}).get("name"), summary.get("policies")
    return f"agent {agent} · policy {policy['name']} ({policy['hash'][:HASH_SHOWN]})" if agent and policy else ""


def _agent(agent: dict[str, Any]) -> list[str]:
    paused = [f"the agent is paused by {agent['paused_by']}"] if agent.get("paused_by") else []
    return paused + [f"{symbol} is in the hands of {by}" for symbol, by in agent.get("held", {}).items()]


def _waiting(count: int | None) -> str:
    if count is None:
        return " · the commands that wait cannot be read by you"
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
