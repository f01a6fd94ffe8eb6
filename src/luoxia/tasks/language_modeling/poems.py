"""Chinese verse: lines of so many characters, their marks, and rhyme and tones where a table of readings is given."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property, lru_cache
from pathlib import Path

import torch
from torch import Tensor

from luoxia.core.errors import UsageError
from luoxia.core.sentences import nearest
from luoxia.decoding.constraints import Constraint, Tokens, by_spelling, finishing, spellings, unmet

Reading = tuple[str, str]  # rhyme group, tone 平 or 仄
Readings = dict[str, frozenset[Reading]]
Hypotheses = frozenset[
    tuple[int, str]
]  # the pattern of tones being followed, and the rhyme group, "" until it is set
State = tuple[
    int, bytes, Hypotheses
]  # place in the poem, bytes of an incomplete character, what may still hold

FORMS = {"五言": (4, 5), "七言": (4, 7), "五绝": (4, 5), "七绝": (4, 7), "五律": (8, 5), "七律": (8, 7)}
"""Lines and characters a line, by name; 绝句 and 律诗 in either script."""

LINES = {"A": "中仄平平仄", "B": "平平仄仄平", "C": "中平平仄仄", "D": "中仄仄平平"}
"""The four regulated lines of five characters (Wang Li 1958, 汉语诗律学); 中 = either tone."""

BEFORE = {"A": "中平", "B": "中仄", "C": "中仄", "D": "中平"}
"""What lines of seven characters put before them."""

ORDERS = ("ABCDABCD", "CDABCDAB", "DBCDABCD", "BDABCDAB")
"""How lines follow each other; a quatrain takes four. The last two begin with a line that rhymes."""


@dataclass(frozen=True)
class Form:
    """A form of verse.

    ``marks``: the characters that may stand after the first line, the second, …, in turn. ``rhyme``: the even lines end
    in one rhyme group, and so does the first where its tones say so. ``tones``: the lines follow one of the regulated
    patterns throughout. Both need ``readings``, and a character of several readings may take any.
    """

    lines: int
    length: int
    marks: tuple[str, ...] = ("，", "。")
    rhyme: bool = False
    tones: bool = False
    readings: Readings | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be asked of a poem."""
        if self.lines < 1 or self.length < 1 or not self.marks or not all(self.marks):
            raise UsageError(
                "a form of verse has one line or more, of one character or more, each with a mark"
            )
        if (self.rhyme or self.tones) and not self.readings:
            raise UsageError(
                "rhyme and tones need a table of readings: give a file of character, rhyme group, tone"
            )
        if self.tones and (self.length not in (5, 7) or self.lines > 8):
            raise UsageError(
                "patterns of tones are known for up to 8 lines of 5 or 7 characters: leave tones out"
            )

    @classmethod
    def named(
        cls, name: str, *, rhyme: bool = False, tones: bool = False, readings: Readings | None = None
    ) -> Form:
        """A form by its usual name, such as 五言, 七绝 or 五言律詩."""
        short = name.translate(str.maketrans("絕詩", "绝诗"))
        short = short.replace("言绝句", "绝").replace("言律诗", "律")
        if short not in FORMS:
            hint = nearest(short, FORMS) or f"; known are {', '.join(FORMS)}"
            raise UsageError(f"unknown form of verse '{name}'{hint}")
        return cls(*FORMS[short], rhyme=rhyme, tones=tones, readings=readings)

    @property
    def size(self) -> int:
        """Characters of a poem, its marks counted."""
        return self.lines * (self.length + 1)

    @cached_property
    def patterns(self) -> list[str]:
        """The tones of a poem without its marks, one string each way; "中" everywhere where none are asked for."""
        if not self.tones:
            return ["中" * self.lines * self.length]
        whole = {name: (BEFORE[name] if self.length == 7 else "") + line for name, line in LINES.items()}
        return list(dict.fromkeys("".join(whole[n] for n in order[: self.lines]) for order in ORDERS))

    def start(self) -> Hypotheses:
        """What may hold before the first character."""
        return frozenset((pattern, "") for pattern in range(len(self.patterns)))

    def asks(self, place: int, pattern: int) -> Reading:
        """What a pattern asks of the character at a place: "rhyme" or "", and its tone."""
        line, column = divmod(place, self.length + 1)
        tone = self.patterns[pattern][line * self.length + column]
        rhymes = tone == "平" if self.tones else line % 2 == 1
        return "rhyme" if self.rhyme and rhymes and column == self.length - 1 else "", tone

    def advance(self, place: int, hypotheses: Hypotheses, character: str) -> Hypotheses | None:
        """What may hold after the character at ``place``, or None where it breaks the form."""
        line, column = divmod(place, self.length + 1)
        if line >= self.lines:
            return None
        if column == self.length:
            return hypotheses if character in self.marks[line % len(self.marks)] else None
        if not is_han(character):
            return None
        known = (self.readings or {}).get(character, frozenset())
        after = set()
        for pattern, rhyme in hypotheses:
            wants_rhyme, wanted = self.asks(place, pattern)
            if not wants_rhyme and wanted == "中":
                after.add((pattern, rhyme))
            for group, tone in known:
                if wanted in ("中", tone) and (not wants_rhyme or rhyme in ("", group)):
                    after.add((pattern, group if wants_rhyme else rhyme))
        return frozenset(after) or None

    def candidates(self, place: int, hypotheses: Hypotheses) -> frozenset[str]:
        """All characters that may stand at ``place``."""
        line, column = divmod(place, self.length + 1)
        if line >= self.lines:
            return frozenset()
        if column == self.length:
            return frozenset(self.marks[line % len(self.marks)])
        wanted = set()
        for pattern, rhyme in hypotheses:
            wants_rhyme, tone = self.asks(place, pattern)
            if not wants_rhyme and tone == "中":
                return han()
            wanted.add((rhyme if wants_rhyme else "", tone))
        return frozenset().union(*(self._read_as(*reading) for reading in wanted))

    def _read_as(self, group: str, tone: str) -> frozenset[str]:
        """The characters with a reading in a rhyme group ("" = any) and of a tone (中 = any)."""
        if (group, tone) not in self._known:
            self._known[group, tone] = frozenset(
                character
                for character, readings in (self.readings or {}).items()
                if is_han(character) and any(group in ("", g) and tone in ("中", t) for g, t in readings)
            )
        return self._known[group, tone]

    @cached_property
    def _known(self) -> dict[Reading, frozenset[str]]:
        return {}


def is_han(character: str) -> bool:
    """Whether it is a Chinese character: CJK unified ideographs, extensions A to H, or 〇."""
    return any(low <= character <= high for low, high in HAN)


HAN = (("\u4e00", "\u9fff"), ("\u3400", "\u4dbf"), ("\u3007", "\u3007"), ("\U00020000", "\U000323af"))


@cache
def han() -> frozenset[str]:
    """All Chinese characters."""
    return frozenset(chr(code) for low, high in HAN for code in range(ord(low), ord(high) + 1))


def read_readings(path: str | Path) -> Readings:
    """Read a table of UTF-8 lines: character, rhyme group, tone (平 or 仄), between tabs; a line for each reading.

    Empty lines and those that begin with # do not count. Raises UsageError for a file that is missing or no such table.
    """
    try:
        lines = Path(path).read_text("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"the table of readings {path} cannot be read ({error}): give a UTF-8 file"
        ) from error
    readings: dict[str, set[Reading]] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("#"):
            continue
        fields = [field.strip() for field in line.split("\t")]
        if len(fields) != 3 or len(fields[0]) != 1 or not fields[1] or fields[2] not in ("平", "仄"):
            raise UsageError(
                f"{path}, line {number}: give one character, its rhyme group and 平 or 仄, between tabs"
            )
        readings.setdefault(fields[0], set()).add((fields[1], fields[2]))
    if not readings:
        raise UsageError(f"the table of readings {path} is empty: give character, rhyme group, tone a line")
    return {character: frozenset(known) for character, known in readings.items()}


class Poem:
    """A form of verse for one tokenizer, as a constraint; ``begin()`` is one row's state.

    Tokens are followed byte by byte through the form, so that they may hold several characters, or parts of one. A
    tokenizer that cannot write the form's marks raises UsageError.
    """

    def __init__(self, form: Form, tokenizer: Tokens) -> None:
        self.form = form
        self.spelling = spellings(tokenizer)
        self.trie = _trie(self.spelling)
        pieces = by_spelling(self.spelling)
        for marks in form.marks:
            if not any(finishing(mark.encode(), pieces)[0] for mark in marks):
                raise UsageError(
                    f"this tokenizer cannot write '{marks}', which the form needs: train it on verse"
                )
        self.mask = lru_cache(512)(self._mask)
        self._next = lru_cache(512)(self._beginnings)
        self.begin().mask()

    def begin(self, prompt: str = "") -> Constraint:
        """A fresh row, which continues the poem that ``prompt`` begins; UsageError where that breaks the form."""
        state: State | None = self.start()
        for byte in prompt.encode():
            state = state and self.step(state, byte)
        if state is None:
            raise UsageError(f"'{prompt}' does not begin a poem of this form: correct it")
        return _Writing(self, state)

    def start(self) -> State:
        """Before the first byte."""
        return 0, b"", self.form.start()

    def step(self, state: State, byte: int) -> State | None:
        """Where a byte leads, or None where it breaks the form."""
        place, held, hypotheses = state
        held += bytes([byte])
        if held not in self._next(place, hypotheses):
            return None
        if len(held) < _bytes_of(held[0]):
            return place, held, hypotheses
        after = self.form.advance(place, hypotheses, held.decode())
        return None if after is None else (place + 1, b"", after)

    def done(self, state: State) -> bool:
        """Whether the poem is whole."""
        return state[0] == self.form.size

    def _beginnings(self, place: int, hypotheses: Hypotheses) -> frozenset[bytes]:
        """The bytes with which the character at a place can begin, and whole characters."""
        return _prefixes(self.form.candidates(place, hypotheses))

    def _mask(self, state: State) -> Tensor:
        """The tokens that keep the form, (v,) bool."""
        allowed: list[int] = []
        waiting = [(self.trie, state)]
        while waiting:
            node, at = waiting.pop()
            begun, held = self._next(at[0], at[2]), at[1]
            for byte, child in node.after.items():
                if held + bytes((byte,)) in begun:
                    allowed += child.tokens
                    if child.after:
                        after = self.step(at, byte)
                        waiting += [] if after is None else [(child, after)]
        if not allowed and not self.done(state):
            raise unmet("form of verse")
        mask = torch.zeros(len(self.spelling), dtype=torch.bool)
        mask[allowed] = True
        return mask


class _Writing:
    """How far one row has come in its poem."""

    def __init__(self, poem: Poem, state: State) -> None:
        self.poem, self.state = poem, state

    @property
    def may_end(self) -> bool:
        return self.poem.done(self.state)

    def mask(self) -> Tensor:
        return self.poem.mask(self.state)

    def accept(self, token: int) -> None:
        for byte in self.poem.spelling[token]:
            after = self.poem.step(self.state, byte)
            if after is None:
                raise unmet("form of verse")
            self.state = after


class _Node:
    """A place in the tree of all tokens' bytes: the tokens that end here, and the bytes that lead on."""

    __slots__ = ("after", "tokens")

    def __init__(self) -> None:
        self.after: dict[int, _Node] = {}
        self.tokens: list[int] = []


def _trie(spelling: list[bytes]) -> _Node:
    root = _Node()
    for token, piece in enumerate(spelling):
        node = root
        for byte in piece:
            node = node.after.setdefault(byte, _Node())
        if piece:
            node.tokens.append(token)
    return root


@lru_cache(256)
def _prefixes(characters: frozenset[str]) -> frozenset[bytes]:
    """The first byte, the first two, … of every character."""
    return frozenset(c[:n] for c in map(str.encode, characters) for n in range(1, len(c) + 1))


def _bytes_of(first: int) -> int:
    """How many bytes a UTF-8 character of this first byte has."""
    return 1 if first < 0x80 else 2 if first < 0xE0 else 3 if first < 0xF0 else 4
