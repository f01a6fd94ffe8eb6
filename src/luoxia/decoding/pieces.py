"""Text from tokens as they come: whole characters only, and nothing of a stop string."""

from __future__ import annotations

from collections.abc import Callable, Sequence

Decode = Callable[[Sequence[int]], str]

BROKEN = "\ufffd"
"""What decoders put for bytes that are no character, or not yet one."""

LONGEST = 4
"""Bytes of the longest UTF-8 character."""


class Pieces:
    """Token ids → text, piece by piece.

    A piece is given out once it can no longer change: when its last character is complete and when no stop string can
    have begun in it. After a stop string, ``stopped`` is True and nothing more is given out. ``before``: the tokens
    that the text follows, on which the text of the first one may depend.
    """

    def __init__(self, decode: Decode, stop: Sequence[str] = (), before: Sequence[int] = ()) -> None:
        self.decode = decode
        self.stop = [s for s in stop if s]
        self.stopped = False
        self.ids = list(before[-LONGEST:])
        self._first = len(self.ids)
        self._ends = [0] * self._first  # where each complete token ends in the text, in characters
        self._window = 0  # decoding restarts here: a token's text can depend on the one before it
        self._whole = self._first  # tokens whose text is complete
        self._known = len(decode(self.ids))  # characters of the text from there on that are certain
        self._held = ""  # complete, but a stop string may have begun in it
        self._given = 0  # characters given out

    @property
    def released(self) -> int:
        """How many tokens lie wholly in the text given out so far."""
        count = self._whole
        while count > self._first and self._ends[count - 1] > self._given:
            count -= 1
        return count - self._first

    def add(self, token: int) -> str:
        """Take the next token; returns the text that it makes certain, which may be empty."""
        self.ids.append(token)
        return self._give(self._extend(LONGEST - 1))

    def close(self) -> str:
        """No token follows: returns all that was held back."""
        if self.stopped:
            return ""
        last = self._give(self._extend(0))
        if not self.stopped:
            last, self._given, self._held = last + self._held, self._given + len(self._held), ""
        return last

    def _extend(self, most: int) -> str:
        """What the latest token adds for certain; up to ``most`` broken characters at the end may yet become one."""
        text = self.decode(self.ids[self._window :])
        broken = min(most, len(text) - len(text.rstrip(BROKEN)))
        fresh = text[self._known : len(text) - broken]
        self._known = max(self._known, len(text) - broken)
        if not broken:
            end = self._given + len(self._held) + len(fresh)
            self._ends += [end] * (len(self.ids) - self._whole)
            self._window, self._whole = self._whole, len(self.ids)
            self._known = len(self.decode(self.ids[self._window :]))
        return fresh

    def _give(self, fresh: str) -> str:
        text = self._held + fresh
        hits = [(at + len(s), at) for s in self.stop if (at := text.find(s)) >= 0]
        if hits:
            self.stopped, held = True, len(text) - min(hits)[1]  # the stop string that is complete first
        else:
            held = max((overlap(text, s) for s in self.stop), default=0)
        self._held = text[len(text) - held :]
        self._given += len(text) - held
        return text[: len(text) - held]


def continuation(decode: Decode, before: Sequence[int], ids: Sequence[int]) -> str:
    """The text of ``ids`` as it stands after the tokens ``before``."""
    tail = list(before[-LONGEST:])
    return decode([*tail, *ids])[len(decode(tail)) :]


def overlap(text: str, stop: str) -> int:
    """Characters at the end of ``text`` that may be the beginning of ``stop``."""
    longest = min(len(text), len(stop) - 1)
    return next((n for n in range(longest, 0, -1) if text.endswith(stop[:n])), 0)
