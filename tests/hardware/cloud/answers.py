"""What the service answers: bodies, and refusals in the words and codes of IBM's error registry."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

_MORE = "https://quantum.cloud.ibm.com/docs/errors"

# Codes and messages of the registry; those marked (ours) stand where its text is not known to us.
_DEFAULTS: dict[int, tuple[int, str, str]] = {
    400: (1208, "Request validation of body failed.", "Check the request."),
    401: (1201, "Invalid credentials.", "Verify your credentials and try again."),
    403: (1200, "You are not authorized to perform this action.", "Contact support to get access."),
    404: (1291, "Job not found.", "Verify the identifier."),  # (ours)
    409: (1409, "Usage exceeds instance limit", "Wait until time is made available."),  # the code is (ours)
    429: (
        1202,
        "Too many POST /jobs requests received: limit is 5 per minute.",
        "Reduce your request rate and try again.",
    ),
    500: (1000, "API Internal error.", "Retry the action."),
}
OPEN_PLAN = (
    1352,
    "You are not authorized to run a session when using the open plan.",
    "Create an instance of a different plan type or use a different execution mode.",
)
SESSION_CLOSED = (1217, "Session has been closed.", "Create a new session and try again.")
NO_BACKEND = (1007, "Backend not found.", "Verify that the correct backend name was specified.")
NO_SESSION = (1216, "Session not found.", "Verify the identifier.")  # (ours)
NO_DEVICE = ("The Backend is not available.", 1004)
NOT_ISA = 1517  # (ours)
BAD_PROGRAM = 1000


@dataclass
class Answer:
    """An HTTP answer."""

    status: int
    body: bytes = b""
    kind: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, value: Any, status: int = 200) -> Answer:
        """Return an answer with a JSON body."""
        return cls(status, json.dumps(value).encode())

    @classmethod
    def text(cls, value: str) -> Answer:
        """Return an answer whose text the client reads as it is (job results, logs)."""
        return cls(200, value.encode(), "text/plain; charset=utf-8")


class RefusedError(Exception):
    """The service says no.

    Args:
        status: of HTTP.
        reason: code, message and solution; by default those that go with the status.
        headers: to add, as ``Retry-After``.
    """

    def __init__(
        self, status: int, reason: tuple[int, str, str] | None = None, headers: dict[str, str] | None = None
    ) -> None:
        super().__init__(status, reason)
        self.status, self.reason, self.headers = status, reason or _DEFAULTS.get(status), headers or {}

    def answer(self) -> Answer:
        """Return it as IBM's API phrases it; gateway errors (502, 503, 504) come from a proxy and are no JSON."""
        if self.reason is None:
            page = f"<html><body><h1>{self.status} from the gateway</h1></body></html>"
            return Answer(self.status, page.encode(), "text/html", dict(self.headers))
        code, message, solution = self.reason
        error = {"code": code, "message": message, "solution": solution, "more_info": _MORE}
        body = json.dumps({"errors": [error], "trace": "0" * 20}, separators=(",", ":"))
        return Answer(self.status, body.encode(), headers=dict(self.headers))
