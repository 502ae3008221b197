"""The changes of agent, policies and prompts since the last run of a book. A start always reports them."""

from ocw_mcp.adapters.store.figures import LastRun
from ocw_mcp.app.policy_loader import LoadedPolicies, LoadedPrompts
from ocw_mcp.domain.errors import BookError
from ocw_mcp.render.text import HASH_SHOWN


def describe_changes(before: LastRun | None, agent: str, policies: LoadedPolicies, prompts: LoadedPrompts) -> str:
    """Return a line on the changes of this start; empty if there are none.

    Raises BookError for a change after a run that was interrupted: its last step must be repeated unchanged.
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
            f"the last run of this book was interrupted, and its last step must be repeated unchanged; it ran with "
            f"{was} (ocw {before.version}), and this start has {now}; start it with the old options, stop it with "
            "Ctrl-C, and then start it with the new ones"
        )
    return f"this book ran with {was} until now; from now on with {now}" if was else ""


def _named(name: str, digest: str) -> str:
    return f"policy {name} ({digest[:HASH_SHOWN]})"


def _prompts(digest: str) -> str:
    return f"prompts {digest[:HASH_SHOWN]}"
