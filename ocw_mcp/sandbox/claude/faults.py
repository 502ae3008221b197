"""What the API answers instead of a message: an error of its own kind, or nothing any more."""

from typing import Final

TYPES: Final = {
    400: "invalid_request_error",
    401: "authentication_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    500: "api_error",
    529: "overloaded_error",
}


class ApiFault(Exception):  # noqa: N818
    """The request ends with this HTTP status; `retry_after_s` goes into its header."""

    def __init__(self, status: int, message: str, retry_after_s: int | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after_s = retry_after_s


class HungUp(Exception):  # noqa: N818
    """The connection ends in the middle of the answer."""
