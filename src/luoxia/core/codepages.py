"""Which code page short texts are in that do not say it: the names in a zip, a table of labels."""

from __future__ import annotations

import codecs
from collections.abc import Callable, Sequence

MARKS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
WORTH = 0.6
"""Share of a code page's frequent characters among those that are not ASCII, from which on it is believed."""


def guessed(texts: Sequence[bytes], western: str) -> str:
    """The code page of texts that belong together: utf-8, gbk, big5, shift_jis, or else ``western``, such as cp437.

    That in which most characters are frequent ones, which the standards put first. A lone one beside Latin letters
    counts against it, as in ``Größe`` read as Japanese.
    """
    if all(text.isascii() for text in texts):
        return "utf-8"
    scores = {page: _score(texts, page, common) for page, common in _COMMON.items()}
    best = max(scores, key=lambda page: scores[page])  # of equal ones the first
    if scores[best] >= WORTH:
        return best
    return western if _decoded(texts, western) is not None else "latin-1"


def decoded(content: bytes, western: str = "cp1252") -> tuple[str, str]:
    """(text, its encoding) of a whole file: by its mark, or guessed."""
    page = next((name for mark, name in MARKS.items() if content.startswith(mark)), None)
    page = page or guessed([content], western)
    return content.decode(page), page


def _decoded(texts: Sequence[bytes], page: str) -> list[str] | None:
    try:
        return [text.decode(page) for text in texts]
    except UnicodeDecodeError:
        return None


def _score(texts: Sequence[bytes], page: str, common: Callable[[bytes], bool]) -> float:
    """The share of frequent characters among those that are not ASCII; 0 where a text is not valid."""
    found = _decoded(texts, page)
    if found is None:
        return 0.0
    good = many = 0
    for text in found:
        for before, character, after in zip("." + text, text, text[1:] + ".", strict=False):
            if not character.isascii():
                many += 1
                latin = before.isascii() and after.isascii() and (before.isalpha() or after.isalpha())
                alone = latin and page != "utf-8"
                good += not alone and common(character.encode(page))
    return good / max(many, 1)


def _utf8(code: bytes) -> bool:
    """All but the phonetic alphabet: two Chinese characters in GBK may look like it."""
    return not 0x250 <= ord(code.decode()) <= 0x2FF


def _gbk(code: bytes) -> bool:
    """The first 3,755 characters of GB 2312, and its punctuation."""
    return len(code) == 2 and code[1] >= 0xA1 and (0xB0 <= code[0] <= 0xD7 or code[0] in (0xA1, 0xA3))


def _big5(code: bytes) -> bool:
    """The first 5,401 characters of Big5, and its punctuation."""
    return len(code) == 2 and 0xA1 <= code[0] <= 0xC6


def _shift_jis(code: bytes) -> bool:
    """Kana and their signs, and the first 2,965 characters of JIS X 0208."""
    kana = code[0] == 0x83 or (code[0] == 0x82 and code[-1] >= 0x9F) or code in _SIGNS
    return len(code) == 2 and (kana or 0x88 <= code[0] <= 0x97)


_SIGNS = frozenset("ー・々（）\u3000".encode("shift_jis")[at : at + 2] for at in range(0, 12, 2))
_COMMON = {"utf-8": _utf8, "gbk": _gbk, "big5": _big5, "shift_jis": _shift_jis}
