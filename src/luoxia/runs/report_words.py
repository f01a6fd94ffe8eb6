"""How a report spells numbers and names: formats, and a plain sentence for each score."""

import html
import math
from typing import NamedTuple

_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


class Meaning(NamedTuple):
    """What a score tells, and which way is better."""

    sentence: str
    better: str  # "lower", "higher" or "" where neither is


HEADINGS = {
    "authenticity": "Does it look like the data? Distances between generated and real images.",
    "plausibility": "Is each image a good one? Whether single samples could belong to the data.",
    "creativity": "Is it varied and its own? Whether the samples cover the data without copying it.",
}
TEXT_HEADINGS = {
    "authenticity": "Is it like what people wrote? Likeness of its texts, or of its predictions, to real ones.",
    "plausibility": "Is each answer a good one? Whether single texts make sense, or single answers are right.",
    "creativity": "Is it varied and its own? Whether the texts differ, without copying what was trained on.",
}

_MEANINGS = {
    "fd": Meaning("Distance between the feature statistics of generated and real images.", "lower"),
    "kid": Meaning("Kernel distance between generated and real features; unbiased for few samples.", "lower"),
    "precision": Meaning("Share of generated images that lie among the real ones.", "higher"),
    "recall": Meaning("Share of real images that lie among the generated ones.", "higher"),
    "density": Meaning("How densely real images surround the generated ones; 1 is like the data.", "higher"),
    "coverage": Meaning(
        "Share of real images with a generated one nearby: falls when modes are lost.", "higher"
    ),
    "class": Meaning("How far the mix of classes is from the data's; 0 is the same mix.", "lower"),
    "classes": Meaning("How many of the data's classes the samples reach.", "higher"),
    "confidence": Meaning("How sure a classifier trained on the data is about the samples.", "higher"),
    "confident": Meaning("Share of samples of which that classifier is sure.", "higher"),
    "outliers": Meaning(
        "Share of samples farther from the training set than 99% of real images are.", "lower"
    ),
    "nn": Meaning("Distance to the nearest training image; 1 is as for a real image, 0 a copy.", ""),
    "duplicates": Meaning("Share of samples that nearly repeat another sample.", "lower"),
    "copy": Meaning("Share of samples as close to a training image as a copy would be.", "lower"),
    "novelty": Meaning("How far samples are from their nearest training image.", ""),
    "diversity": Meaning("How different samples are from each other.", "higher"),
    "accuracy": Meaning("Share of samples that a classifier puts into the right class.", "higher"),
    "macro": Meaning("F1 of all classes on average, rare ones counting as much as frequent ones.", "higher"),
    "f1": Meaning("Harmonic mean of precision and recall for this class.", "higher"),
    "calibration": Meaning(
        "How far the probabilities are from the share of answers that are right.", "lower"
    ),
    "retrieval@1": Meaning("Share of texts whose counterpart is the nearest of all.", "higher"),
    "mrr": Meaning("Mean of 1 / rank of the counterpart among all texts, the nearest first.", "higher"),
    "bleu": Meaning("Words and phrases shared with a person's translation, 0 to 100.", "higher"),
    "chrf": Meaning("Characters and their sequences shared with a person's translation, 0 to 100.", "higher"),
    "cycle": Meaning("Mean difference of an image from itself there and back, of 255 levels.", "lower"),
    "empty": Meaning("Share of translations without a word.", "lower"),
}
_ALIASES = {
    "memorised": "copy",
    "memorized": "copy",
    "neighbour": "nn",
    "histogram": "class",
}
KEY_SCORES = (
    "fd",
    "kid",
    "precision",
    "coverage",
    "recall",
    "copy",
    "density",
    "accuracy",
    "macro",
    "retrieval@1",
    "mrr",
    "bleu",
    "chrf",
    "cycle",
)


def family(name: str) -> str:
    """The key of a score's meaning: ``FD-effnet-lite0`` is of the family ``fd``.

    >>> family("class_histogram")
    'class'
    """
    first = name.lower().replace("_", " ").replace("-", " ").partition(" ")[0]
    first = _ALIASES.get(first, first)
    return first if first in _MEANINGS else ""


def meaning(name: str) -> Meaning:
    """The plain-language meaning of a score; an empty one for a name that is not known."""
    return _MEANINGS.get(family(name), Meaning("", ""))


def escape(value: object) -> str:
    """``value`` as text that is safe in an HTML element and in a quoted attribute."""
    return html.escape(str(value), quote=True)


def spell(value: float, digits: int = 4) -> str:
    """A number for people: about ``digits`` significant digits, thousands apart, powers of ten spelled out.

    >>> spell(12345.6), spell(0.00002), spell(float("nan"))
    ('12,346', '2 × 10⁻⁵', 'not finite')
    """
    if not math.isfinite(value):
        return "not finite"
    size = abs(value)
    if size and (size < 1e-4 or size >= 1e9):
        base, power = f"{value:.{digits - 1}e}".split("e")
        base = base.rstrip("0").rstrip(".") if "." in base else base
        return f"{base} × 10{str(int(power)).translate(_SUPERSCRIPT)}".replace("-", "−")
    if size >= 1000:
        return f"{value:,.0f}".replace("-", "−")
    return f"{value:.{digits}g}".replace("-", "−")


def power_of_ten(exponent: int) -> str:
    """``10⁻³`` for -3; the everyday powers are written out."""
    if -2 <= exponent <= 3:
        return f"{10.0**exponent:,.10g}"
    return f"10{str(exponent).translate(_SUPERSCRIPT)}"


def compact(value: float) -> str:
    """A short axis label: ``12k`` for 12,000.

    >>> compact(1500), compact(2_000_000), compact(0.5)
    ('1.5k', '2M', '0.5')
    """
    for unit, letter in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= unit:
            return f"{value / unit:.4g}{letter}".replace("-", "−")
    return spell(value, 3)


def duration(seconds: float) -> str:
    """Seconds for people.

    >>> duration(42), duration(750), duration(7500)
    ('42 s', '12 min 30 s', '2 h 5 min')
    """
    if not math.isfinite(seconds) or seconds < 0:
        return ""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    large, small, units = (whole // 60, whole % 60, ("min", "s"))
    if whole >= 3600:
        large, small, units = (whole // 3600, whole % 3600 // 60, ("h", "min"))
    return f"{large} {units[0]}" + (f" {small} {units[1]}" if small else "")


def count(value: float, noun: str) -> str:
    """``1 step``, ``2,000 steps``."""
    return f"{spell(value)} {noun}" if value == 1 else f"{value:,.0f} {noun}s"
