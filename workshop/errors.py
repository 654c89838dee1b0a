"""The one exception that a user is meant to read."""

from __future__ import annotations


class WorkshopError(Exception):
    """Something a user can cause or cure.

    `str(error)` is one line that says what is wrong and what to do next;
    the command line prints it and exits with status 1, without a traceback.
    """
