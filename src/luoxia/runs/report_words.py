"""How a report spells numbers."""

import math

_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


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
