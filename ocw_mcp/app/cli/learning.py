"""The commands `ocw learning`: what a book has learned, and whether learning helps on a market."""

from pathlib import Path
from typing import Annotated

import typer

from ocw_mcp.app.cli import options
from ocw_mcp.app.cli.options import group, one_of, option, print_result

learning = group("What a book has learned, and whether it helps the rules.")
_Source = Annotated[Path, typer.Argument(help="The state directory of a book, or a file of outcomes.")]


@learning.command()
def report(
    market: Annotated[str, typer.Argument(help="The path of a tape, or sim.", autocompletion=one_of("sim"))],
    for_: Annotated[
        str | None, option("--for", "Simulated time to run; the default is the whole tape, or 90d of sim.")
    ] = None,
    policies: options.PoliciesOption = None,
    policy: options.PolicyOption = "lab",
    product: options.ProductOption = None,
    interval: options.IntervalOption = None,
    symbols: options.SymbolsOption = None,
    seed: options.SeedOption = 1,
    picture: Annotated[
        Path | None, option("--picture", "Also draw the posteriors over time into this PNG or SVG.")
    ] = None,
    as_json: options.JsonOption = False,
) -> None:
    """Compare the rules with and without learning.

    It shows the paired difference with its interval.
    """
    from ocw_mcp.app.drawing import require_png_or_svg
    from ocw_mcp.app.learning import compare
    from ocw_mcp.app.learning.picture import draw
    from ocw_mcp.app.markets import SIMULATED, open_market
    from ocw_mcp.app.output import working
    from ocw_mcp.app.parsing import parse_product, parse_span, parse_symbols
    from ocw_mcp.app.policy_loader import load_policies, load_prompts
    from ocw_mcp.domain.protocols import Feed

    if picture is not None:
        require_png_or_svg(picture)

    def feed() -> Feed:
        kind, wanted = parse_product(product), parse_symbols(symbols)
        return open_market(market, product=kind, interval=interval, symbols=wanted, seed=seed)

    for_ms = parse_span(for_ or ("90d" if market == SIMULATED else None))
    with working("running the rules three times", quiet=as_json):
        found, outcomes = compare.compare(feed, load_policies(policies, policy), load_prompts(None), for_ms)
    if picture is not None:
        draw(picture, outcomes)
    print_result(found, compare.text(found), as_json)


@learning.command()
def show(
    source: _Source,
    counterfactuals: Annotated[
        bool, option("--counterfactuals", "Learn also from decisions without a trade, as with that policy.")
    ] = False,
    as_json: options.JsonOption = False,
) -> None:
    """Show what a book, or an exported file, has learned.

    The same learner is built again from the outcomes.
    """
    from msgspec import to_builtins

    from ocw_mcp.app.learning.outcomes import learned_from, read_outcomes
    from ocw_mcp.render.learning_text import advice_lines, evidence_text

    learned = learned_from(read_outcomes(source), counterfactuals=counterfactuals)
    lines = [f"{evidence_text(learned)}, regime {learned.regime}"]
    lines += [
        f"{each.name:<16} {each.group:<12} {each.mean:.3f} ({each.low:.3f} to {each.high:.3f}) n {each.evidence:6.1f} "
        f"weight {each.weight:+.3f} {each.trust}"
        for each in learned.signals
    ]
    print_result(to_builtins(learned), [*lines, *advice_lines(learned)], as_json)


@learning.command()
def export(source: _Source, to: Annotated[Path, typer.Argument(help="The file to write; it must be new.")]) -> None:
    """Write the outcomes of a book into a file.

    `ocw learning show` learns the same from it.
    """
    from ocw_mcp.app.cli.tables import terminal
    from ocw_mcp.app.learning.outcomes import read_outcomes, write_outcomes

    outcomes = read_outcomes(source)
    write_outcomes(to, outcomes)
    terminal().print(f"{len(outcomes)} outcomes are in {to.name}")


@learning.command("import")
def import_(
    source: _Source,
    state: Annotated[Path, typer.Argument(help="The state directory of a new book; it is created.")],
) -> None:
    """Begin a new book with the outcomes of another one.

    The other one is a state directory or an exported file.
    """
    from ocw_mcp.app.cli.tables import terminal
    from ocw_mcp.app.learning.outcomes import import_outcomes

    count = import_outcomes(source, state)
    terminal().print(f"the next run with --state {state} begins a book with {count} outcomes")
