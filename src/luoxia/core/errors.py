"""The errors a user reads: one sentence each, no traceback."""

import contextlib
import os
from collections.abc import Iterator


class LuoxiaError(Exception):
    """Something went wrong that the user can act on; the command line exits with 1.

    The message is one sentence: what is wrong, where, and what to change.
    """

    exit_code = 1


class UsageError(LuoxiaError):
    """The request itself is wrong (an unknown key, a bad value); the command line exits with 2."""

    exit_code = 2


class ReportedByOtherRankError(LuoxiaError):
    """Another process of the same training tells the user what is wrong; this one ends with the same exit code."""

    def __init__(self, exit_code: int) -> None:
        super().__init__("another process ended this training")
        self.exit_code = exit_code


LANGUAGE = "text"
"""The extra with what reads, scores and constrains text."""


class MissingExtraError(LuoxiaError):
    """A feature needs packages that an optional extra installs."""

    def __init__(self, feature: str, extra: str) -> None:
        """Name the ``feature`` that was asked for and the ``extra`` that brings it."""
        super().__init__(f"{feature} needs the extra '{extra}': pip install 'luoxia[{extra}]'")


@contextlib.contextmanager
def report_once() -> Iterator[None]:
    """Before there is a world every process finds the same error: the first alone raises it as it is."""
    try:
        yield
    except LuoxiaError as error:
        if os.environ.get("RANK", "0") != "0":
            raise ReportedByOtherRankError(error.exit_code) from None
        raise


class OldNameWarning(FutureWarning):
    """A key or a word has a new name; the old one works until 1.0."""


class NothingLeftError(UsageError):
    """A run has done all its steps, or used its budget."""
