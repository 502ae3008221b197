"""`ocw policies`: check a policy file, explain it, and show how much of each limit a book uses."""

from pathlib import Path
from typing import Annotated

import typer

from ocw_mcp.app.cli.options import JsonOption, PoliciesOption, PolicyOption, group, option, print_json
from ocw_mcp.app.output import say
from ocw_mcp.domain.errors import SettingsError

UsedOption = Annotated[
    Path | None, option("--state", "Show how much of each limit this book uses, in place of a policy file.")
]

policies = group("The policies: all limits.")


@policies.command("check")
def check_policies(
    file: Annotated[Path, typer.Argument(metavar="PATH", help="A policy file, or a directory of them.")],
    as_json: JsonOption = False,
) -> None:
    """Check a policy file, or each file of a directory; all problems are listed together."""
    from ocw_mcp.app.policy_loader import load_policies

    files = sorted(file.glob("*.toml")) if file.is_dir() else []
    problems: list[str] = []
    for each in files or [file]:
        try:
            loaded = load_policies(each)
        except SettingsError as error:
            problems.append(str(error))
            continue
        said = {"ok": True, "file": loaded.source_name, "name": loaded.policies.name, "hash": loaded.hash}
        if as_json:
            print_json(said | {"remarks": loaded.remarks}, indent=None)
        else:
            say("\n".join([f"{loaded.source_name} is a valid policy file: hash {loaded.hash}", *loaded.remarks]))
    if problems:
        raise SettingsError("\n".join(problems))


@policies.command("show")
def show_policies(
    state: UsedOption = None,
    file: PoliciesOption = None,
    policy: PolicyOption = "default",
    as_json: JsonOption = False,
) -> None:
    """Show a policy file with the meaning of each key; or, with --state, how much of each limit a book uses."""
    from ocw_mcp.app import policies_view
    from ocw_mcp.app.cli.tables import Clean
    from ocw_mcp.app.policy_loader import load_policies

    console = Clean(highlight=False)
    if state is not None:
        view = policies_view.of_book(state)
        print_json(view) if as_json else console.print(policies_view.book_table(view))
        return
    loaded = load_policies(file, policy)
    if as_json:
        print_json(policies_view.of_file(loaded))
    else:
        console.print(policies_view.file_table(loaded))
