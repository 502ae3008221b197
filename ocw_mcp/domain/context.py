"""What a source outside of the exchange reports, such as an index of sentiment or a headline."""

import msgspec


class ContextItem(msgspec.Struct, frozen=True):
    """One report of a source. The text is not trusted: it is shown as a quotation, and never as an instruction."""

    source: str
    """The name of the source in the settings: `fear_greed`."""
    at: int
    """The time (ms) at which the source was read."""
    as_of: int | None
    """The time (ms) of the value, as the source states it; None if it states none."""
    name: str = ""
    """The name of the value; empty if the source has only one."""
    value: float | None = None
    unit: str = ""
    """The unit of `value`: `USD`, `%`, `of 100`."""
    text: str = ""
    """The text of the source, such as a headline."""
    stale: bool = False
    """Whether the source could not be read since, so that the report is older than its source is cached."""
