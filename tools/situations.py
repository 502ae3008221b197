"""Prints `docs/situations.md` from the files of `situations/`. `make docs` writes the page, and a test compares it."""

from collections.abc import Iterator

from ocw_mcp.app.bench.seat import NOT_RUN
from ocw_mcp.app.bench.situations import LegPattern, load
from ocw_mcp.domain.money import plain

MODELS = ("claude-sonnet-5-5",)
"""The models with a column. A column is filled only with the answers of the model itself."""


def page() -> str:
    """Return the whole page as Markdown."""
    return "\n".join([*_intro(), *_table(), ""])


def _intro() -> Iterator[str]:
    yield from (
        "# Situations",
        "",
        "`ocw bench seat --model NAME` asks a model what it would do in the situations of `situations/`. Each is",
        "played through the whole engine on paper up to one wake. The model sees the request that it would get in a",
        "run, may call the reading tools, and may correct refused legs once. Its accepted legs are compared with the",
        "right answers: an answer is right if it does one of the right things, and nothing else. Legs that",
        "a file names as wrong make an answer `wrong`; all others are `neither`.",
        "",
        "```",
        "ocw bench seat --case 'short*'       # these situations only; needs ANTHROPIC_API_KEY, or a gateway",
        "ocw bench seat --usd 2 --json        # at most 2 USD in all",
        "```",
        "",
        "A test plays every situation without a model: each fact that one needs must be in the request, under the name",
        "that wake conditions use, and answers written by hand must get their outcome from the engine. The answers of",
        "`ocw sandbox` are marked as `sandbox`, and never as the outcome of a model. `make docs` generates this page.",
    )


def _table() -> Iterator[str]:
    yield from ("", f"| situation | right | why | {' | '.join(MODELS)} |", f"|---|---|---|{'---|' * len(MODELS)}")
    for name, each in load().items():
        answers = (" and ".join(_leg(leg) for leg in legs) or "HOLD" for legs in each.right)
        outcomes = " | ".join(NOT_RUN for _ in MODELS)
        yield f"| `{name}`: {each.title} | {'; or '.join(answers)} | {each.why} | {outcomes} |"


def _leg(pattern: LegPattern) -> str:
    """Return a leg of a right answer in a few words."""
    ranges = [f"{name} {plain(low)} to {plain(high)}" for name, (low, high) in pattern.ranges.items()]
    return ", ".join([f"{'/'.join(pattern.actions)} {pattern.symbol or 'any symbol'}", *ranges])


if __name__ == "__main__":
    print(page(), end="")  # noqa: T201 - the page is the output
