"""Answers that are errors."""

from __future__ import annotations

#: Kinds of errors, and the status of HTTP that each has.
STATUS = {
    "bad_request": 400,
    "not_found": 404,
    "method_not_allowed": 405,
    "too_slow": 408,
    "too_large": 413,
    "not_a_picture": 415,
    "unreadable": 422,
    "overtime": 422,
    "too_many_frames": 422,
    "internal": 500,
    "unsupported": 501,
    "busy": 503,
    "not_ready": 503,
}
#: Seconds after which a client may try again.
RETRY_AFTER = 1


class Problem(Exception):
    """Why a request, or one of its files, is not answered by a score.

    Parameters
    ----------
    kind : str
        One of `STATUS`.
    message : str

    Attributes
    ----------
    kind, message : str
    status : int
        Of HTTP.

    Examples
    --------
    >>> Problem("busy", "the queue is full").status
    503
    """

    def __init__(self, kind: str, message: str):
        super().__init__(message)
        self.kind, self.message, self.status = kind, message, STATUS[kind]

    @property
    def headers(self) -> dict[str, str]:
        """Headers of the answer."""
        return {"Retry-After": str(RETRY_AFTER)} if self.status == 503 else {}

    def as_json(self) -> dict[str, dict[str, str]]:
        """Give the body of the answer.

        Returns
        -------
        dict

        Examples
        --------
        >>> Problem("busy", "the queue is full").as_json()
        {'error': {'kind': 'busy', 'message': 'the queue is full'}}
        """
        return {"error": {"kind": self.kind, "message": self.message}}
