"""The models that this API knows. Their limits are round numbers of ours; what else stands here is in their docs."""

from typing import Any, Final, NamedTuple

from ocw_mcp.sandbox.claude.faults import ApiFault

RETIRED: Final = "claude-loopback-retired"
"""No model of that name was ever served: it is here to be asked for in vain."""


class Model(NamedTuple):
    """What a request is held to."""

    id: str
    cached_from: int
    """The shortest prefix, in tokens, that is cached."""
    always_thinks: bool = False
    """Every answer begins with a thinking block; thinking cannot be disabled, nor an answer be forced or begun."""
    lifecycle: str = "active"
    max_input: int = 200_000
    max_output: int = 64_000

    def info(self) -> dict[str, Any]:
        """The model as `GET /v1/models/ID` tells it."""
        return {
            "type": "model",
            "id": self.id,
            "display_name": self.id.replace("-", " ").title(),
            "created_at": "1970-01-01T00:00:00Z",
            "lifecycle": self.lifecycle,
            "deprecated_at": "1970-01-01T00:00:00Z" if self.lifecycle == "retired" else None,
            "retires_at": None,
            "max_input_tokens": self.max_input,
            "max_tokens": self.max_output,
        }


MODELS: Final = {
    model.id: model
    for model in (
        Model("claude-opus-5-5", 512, always_thinks=True),
        Model("claude-sonnet-5-5", 512, always_thinks=True),
        Model("claude-haiku-5-5", 512, always_thinks=True),
        Model("claude-sonnet-4-6", 1_024),
        Model("claude-haiku-4-5", 4_096),
        Model(RETIRED, 1_024, lifecycle="retired"),
    )
}


def known(name: str) -> Model:
    """A model that is in the catalogue, retired or not. Raises ApiFault."""
    model = MODELS.get(name)
    if model is None:
        raise ApiFault(404, f"model: {name}")
    return model


def serving(name: str) -> Model:
    """A model that answers. Raises ApiFault."""
    model = known(name)
    if model.lifecycle == "retired":
        raise ApiFault(404, f"model: {name}")
    return model
