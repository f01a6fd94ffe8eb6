"""Longest verbatim overlap of texts with a training text: exact, and fast for tens of megabytes.

The training text is read once for the windows of ``WINDOW`` characters that also occur in the samples; a hash
may let a wrong window through but never loses one. In what is left, a small part, the longest matches are
found by naming substrings of doubled length (Karp, Miller and Rosenberg 1972). A sample that shares no such
window has only shorter matches, which are looked up one length at a time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

WINDOW = 16  # characters; fewer are looked up one length at a time
CHUNK = 1 << 17  # windows hashed at once, so that they stay in the cache
BASE = np.uint64(0x9E3779B97F4A7C15)  # of the rolling hash modulo 2⁶⁴
MIX = np.uint64(0xD6E8FEB86659FD93)  # spreads a hash over its highest bits
TABLE_BITS = 22  # of the table that lets few windows of the training text pass
BOUNDARY = 0x110000  # ends a text; no character

Ints = NDArray[np.int64]
Codes = NDArray[np.uint32]
Hashes = NDArray[np.uint64]


class Overlaps(NamedTuple):
    """For each text (n,) its longest substring that the training text holds: length and start, in characters."""

    lengths: Ints
    starts: Ints


def longest_overlaps(texts: Sequence[str], training: Sequence[str]) -> Overlaps:
    """Find the longest substring of each text (n,) that occurs verbatim within one of the training texts.

    Characters are Unicode code points. Of several longest substrings the first is given; a text that shares
    no character has length 0 and start 0. Memory is about four bytes a character of ``training`` and a
    hundred a character of ``texts`` and of what the two share.
    """
    corpus = _join(training)
    lengths, starts = np.zeros(len(texts), np.int64), np.zeros(len(texts), np.int64)
    left = np.arange(len(texts))  # texts whose overlap is still unknown
    for window in range(WINDOW, 0, -1):
        if len(left) == 0:
            break
        samples = _join([texts[index] for index in left.tolist()])
        if window == WINDOW:
            matched = _longest_matches(samples, _shared(samples, corpus, window))
        else:
            matched = window * _occurs(samples, corpus, window)
        best, first = _best(samples, matched)
        done = best >= window
        lengths[left[done]], starts[left[done]] = best[done], first[done]
        left = left[~done]
    return Overlaps(lengths, starts)


def _join(texts: Sequence[str]) -> Codes:
    """Code points of all texts, each ended by a boundary."""
    joined = "".join(text + "\0" for text in texts)
    codes = np.frombuffer(joined.encode("utf-32-le", "surrogatepass"), "<u4").astype(np.uint32)
    codes[np.cumsum([len(text) + 1 for text in texts], dtype=np.int64) - 1] = BOUNDARY
    return codes


def _best(samples: Codes, matched: Ints) -> tuple[Ints, Ints]:
    """Longest match of each sample and where it first starts, from the match at each position."""
    ends = np.flatnonzero(samples == BOUNDARY)
    begins = np.concatenate([[0], ends[:-1] + 1])
    best = np.maximum.reduceat(matched, begins)
    longest = np.flatnonzero(matched == np.repeat(best, ends - begins + 1))
    return best, longest[np.searchsorted(longest, begins)] - begins


def _hashes(codes: Codes, window: int) -> Hashes:
    """Hash of each window (m,) of the codes, m = length - window + 1: Σ c BASE^i modulo 2⁶⁴."""
    count = max(0, len(codes) - window + 1)
    hashes = np.zeros(count, np.uint64)
    for shift in range(window):
        hashes *= BASE
        hashes += codes[shift : shift + count]
    return hashes


def _whole(samples: Codes, window: int) -> Ints:
    """Starts (m,) of the windows that hold no boundary."""
    whole = np.ones(max(0, len(samples) - window + 1), bool)
    for shift in range(window):
        whole &= samples[shift : shift + len(whole)] != BOUNDARY
    return np.flatnonzero(whole)


class _Windows:
    """The hashes of windows, ready to be found in a longer text; ``index`` (m,) is that of each window."""

    def __init__(self, samples: Codes, window: int, starts: Ints) -> None:
        self.window = window
        self.hashes, self.index = np.unique(_hashes(samples, window)[starts], return_inverse=True)
        self.table = np.zeros(1 << TABLE_BITS, bool)
        self.table[self._places(self.hashes)] = True

    def find(self, corpus: Codes) -> Iterator[tuple[Ints, Ints]]:
        """Yield places (p,) in the corpus and the index into ``hashes`` (p,) of what stands there."""
        for start in range(0, len(corpus) - self.window + 1 if len(self.hashes) else 0, CHUNK):
            hashes = _hashes(corpus[start : start + CHUNK + self.window - 1], self.window)
            places = np.flatnonzero(self.table[self._places(hashes)])
            index = np.minimum(np.searchsorted(self.hashes, hashes[places]), len(self.hashes) - 1)
            true = self.hashes[index] == hashes[places]
            yield start + places[true], index[true]

    @staticmethod
    def _places(hashes: Hashes) -> Ints:
        places: Ints = (hashes * MIX >> np.uint64(64 - TABLE_BITS)).astype(np.int64)
        return places


def _shared(samples: Codes, corpus: Codes, window: int) -> Codes:
    """Cut from the corpus all runs of text of which the samples hold windows, each ended by a boundary."""
    windows = _Windows(samples, window, _whole(samples, window))
    places = np.concatenate([np.empty(0, np.int64), *(found for found, _ in windows.find(corpus))])
    if len(places) == 0:
        return np.empty(0, np.uint32)
    gap = np.flatnonzero(np.diff(places) > window)
    begins = places[np.concatenate([[0], gap + 1])]
    sizes = places[np.concatenate([gap, [len(places) - 1]])] + window - begins + 1
    ends = np.cumsum(sizes)
    taken = np.arange(ends[-1]) + np.repeat(begins - ends + sizes, sizes)
    runs: Codes = corpus[np.minimum(taken, len(corpus) - 1)]
    runs[ends - 1] = BOUNDARY
    return runs


def _longest_matches(samples: Codes, runs: Codes) -> Ints:
    """Length of the longest match in the runs from each position of the samples (m,)."""
    m = len(samples)
    if len(runs) == 0:
        return np.zeros(m, np.int64)
    names = _names(np.concatenate([samples, runs]).astype(np.int64), m)
    order = np.argsort(names[-1][m:], kind="stable")
    ranked = names[-1][m:][order]
    place = np.searchsorted(ranked, names[-1][:m])
    before, after = order[np.maximum(place - 1, 0)] + m, order[np.minimum(place, len(order) - 1)] + m
    return np.maximum(_common_prefix(names, m, before), _common_prefix(names, m, after))


def _names(codes: Ints, m: int) -> list[NDArray[np.int32]]:
    """Name the substrings of 1, 2, 4, … codes from each position, in alphabetical order.

    It ends with the first length at which the first m positions share no name with the others. Of the
    neighbors in the order of those names one has the longest common prefix.
    """
    boundaries = codes == BOUNDARY
    codes = codes + np.cumsum(boundaries) * boundaries  # no boundary equals another
    level = np.unique(codes, return_inverse=True)[1] + 1  # 0 is beyond the end
    names, size = [level.astype(np.int32)], 1
    while np.isin(level[:m], level[m:]).any():
        following = np.concatenate([level[size:], np.zeros(min(size, len(level)), np.int64)])
        level = np.unique(level * (int(level.max()) + 1) + following, return_inverse=True)[1] + 1
        names, size = [*names, level.astype(np.int32)], 2 * size
    return names


def _common_prefix(names: list[NDArray[np.int32]], m: int, others: Ints) -> Ints:
    """Length of what position i and position ``others[i]`` have in common, for the first m positions (m,)."""
    length = np.zeros(m, np.int64)
    for power in range(len(names) - 2, -1, -1):  # the last names have nothing in common
        equal = names[power][np.arange(m) + length] == names[power][others + length]
        length += equal.astype(np.int64) << power
    return length


def _occurs(samples: Codes, corpus: Codes, window: int) -> NDArray[np.bool_]:
    """Whether the corpus holds the window that starts at each position of the samples (m,)."""
    occurs, starts, steps = np.zeros(len(samples), bool), _whole(samples, window), np.arange(window)
    while len(starts):
        windows = _Windows(samples, window, starts)
        example = np.empty(len(windows.hashes), np.int64)
        example[windows.index] = starts
        texts = samples[example[:, None] + steps]
        found = np.zeros(len(example), bool)
        for places, index in windows.find(corpus):
            new = ~found[index]
            places, index = places[new], index[new]
            found[index[(corpus[places[:, None] + steps] == texts[index]).all(1)]] = True
        same = (samples[starts[:, None] + steps] == texts[windows.index]).all(1)
        occurs[starts[same]] = found[windows.index[same]]
        starts = starts[~same]  # another text with the same hash went first
    return occurs
