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
    markets: Annotated[
        list[str],
        typer.Argument(help="The paths of one tape or several, or sim; each is a book.", autocompletion=one_of("sim")),
    ],
    for_: Annotated[
        str | None, option("--for", "Simulated time to run; the default is the whole tape, or 90d of sim.")
    ] = None,
    policies: options.PoliciesOption = None,
    policy: options.PolicyOption = "lab",
    product: options.ProductOption = None,
    interval: options.IntervalOption = None,
    symbols: options.SymbolsOption = None,
    each: Annotated[
        bool, option("--each", "Run a book for each symbol, and not one for all symbols of a path.")
    ] = False,
    restart: Annotated[
        bool, option("--restart", "Also run it with a restart in the middle, and say whether that changes anything.")
    ] = False,
    seed: options.SeedOption = 1,
    picture: Annotated[
        Path | None, option("--picture", "Also draw the posteriors of the first book over time into this PNG or SVG.")
    ] = None,
    as_json: options.JsonOption = False,
) -> None:
    """Compare the rules with and without learning.

    It shows the paired difference with its interval, for each market and for all together.
    """
    from functools import partial

    from ocw_mcp.app.drawing import require_png_or_svg
    from ocw_mcp.app.learning import compare
    from ocw_mcp.app.learning.picture import draw
    from ocw_mcp.app.markets import SIMULATED, open_market
    from ocw_mcp.app.output import working
    from ocw_mcp.app.parsing import parse_product, parse_span, parse_symbols
    from ocw_mcp.app.policy_loader import load_policies, load_prompts

    if picture is not None:
        require_png_or_svg(picture)  # fails before the minutes of work, not after them
    some, kind, found = parse_symbols(symbols), parse_product(product), list[compare.Market]()
    for path in markets:
        opened = partial(open_market, path, product=kind, interval=interval, seed=seed)
        names = opened(symbols=some).identity.symbols
        for chosen in [(name,) for name in names] if each else [some]:
            name = path if path == SIMULATED else Path(path).name
            label = f"{name} {','.join(chosen or names)}"
            found.append(compare.Market(label, partial(opened, symbols=chosen)))
    for_ms = parse_span(for_ or ("90d" if SIMULATED in markets else None))
    with working("running the rules with and without learning", quiet=as_json) as show:
        comparison = compare.compare(
            found, load_policies(policies, policy), load_prompts(None), for_ms, restart=restart, show=show
        )
        if picture is not None:
            show("drawing the picture")
            draw(picture, found[0].name, comparison.outcomes)
    print_result(comparison.report, compare.text(comparison.report), as_json)


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
        f"weight {each.weight:+.3f} share {each.share:4.0%} drawn {each.drawn:.3f} {each.trust}"
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
