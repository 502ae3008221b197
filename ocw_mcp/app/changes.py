"""What a start changes about a book that ran before: its agent, its policies, its prompts. It is never silent."""

from ocw_mcp.adapters.store.figures import LastRun
from ocw_mcp.app.policy_loader import LoadedPolicies, LoadedPrompts
from ocw_mcp.domain.errors import BookError
from ocw_mcp.render.text import HASH_SHOWN


def tell_changes(before: LastRun | None, agent: str, policies: LoadedPolicies, prompts: LoadedPrompts) -> str:
    """One line on what this start changes; empty where it changes nothing.

    Raises BookError where nothing may change, since the last run did not stop but broke off.
    """
    if before is None:
        return ""
    name, hash_ = policies.policies.name, policies.hash
    pairs = [
        (before.agent != agent, f"agent {before.agent}", f"agent {agent}"),
        (before.policy_hash != hash_, _named(before.policy, before.policy_hash), _named(name, hash_)),
        (before.prompts_hash != prompts.hash, _prompts(before.prompts_hash), _prompts(prompts.hash)),
    ]
    was = ", ".join(old for changed, old, _ in pairs if changed)
    now = ", ".join(new for changed, _, new in pairs if changed)
    if was and before.to_be_repeated:
        raise BookError(
            f"the last run of this book broke off, and what it did last has to be done again as it was; it ran with "
            f"{was} (ocw {before.version}), and this start gives {now}; start it as it ran, stop it with Ctrl-C, and "
            "then change what you like"
        )
    return f"this book ran with {was} until now; from here on with {now}" if was else ""


def _named(name: str, digest: str) -> str:
    return f"policy {name} ({digest[:HASH_SHOWN]})"


def _prompts(digest: str) -> str:
    return f"prompts {digest[:HASH_SHOWN]}"
