"""The command `ocw connect`: its options. `connect_steps` does the work."""

from pathlib import Path
from typing import Annotated

from ocw_mcp.app.cli.options import BookOption, JsonOption, PoliciesOption, PolicyOption, option


def connect(
    state: BookOption,
    mode: Annotated[
        str | None, option("--mode", "demo (the exchange's test money) or live (your money).", "demo", "live")
    ] = None,
    product: Annotated[
        str | None, option("--product", "um (USD-M futures) or spot. [default: um]", "um", "spot")
    ] = None,
    symbols: Annotated[
        str | None, option("--symbols", "The symbols to check, set up or allow: BTCUSDT,ETHUSDT.")
    ] = None,
    env: Annotated[Path | None, option("--env", "A file of settings, as for ocw run.")] = None,
    new_key: Annotated[bool, option("--new-key", "Ask for another key, although one is stored.")] = False,
    key_file: Annotated[
        Path | None, option("--key-file", "Take key and secret from the two lines of a file; - is standard input.")
    ] = None,
    sandbox_key: Annotated[
        bool, option("--sandbox-key", "Take the first key of the sandbox exchange that BINANCE_LOOPBACK names.")
    ] = False,
    keyring: Annotated[
        bool, option("--keyring", "Store the key in the keyring of the system (needs ocw-mcp[keyring]).")
    ] = False,
    set_up: Annotated[
        bool, option("--set-up", "Set the account to one-way, single-asset and isolated. No position may be open.")
    ] = False,
    mandate: Annotated[
        bool, option("--mandate", "Give a live book its mandate, with the passphrase, after a proving order.")
    ] = False,
    amount: Annotated[
        str | None, option("--amount", "The mandate: the largest notional of all positions and entries, in quote.")
    ] = None,
    days: Annotated[int | None, option("--days", "The mandate: for how many days, at most 30.")] = None,
    policies: PoliciesOption = None,
    policy: PolicyOption = "default",
    as_json: JsonOption = False,
) -> None:
    """Store a key for a state directory, and check its account.

    Without --set-up and --mandate nothing changes at the exchange. --mandate trades a proving order, and may set the
    leverage of its symbol.

    The key and its secret are typed, not shown, and stored so that only you can read them. Each check is ok, a warning
    or a problem; a problem exits 1. Keys are never taken as arguments, because other users can see those.
    """
    from ocw_mcp.app.cli.connect_steps import ConnectRequest, connect_and_print

    connect_and_print(
        ConnectRequest(
            state,
            mode,
            product,
            symbols,
            env,
            new_key,
            key_file,
            sandbox_key,
            keyring,
            set_up,
            mandate,
            amount,
            days,
            policies,
            policy,
            as_json,
        )
    )


COMMANDS = (connect,)
"""The command of this file, for `ocw --help`."""
