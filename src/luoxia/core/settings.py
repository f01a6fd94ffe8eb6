"""Settings as a person writes them: ``key=value`` words, and YAML."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from luoxia.core.errors import UsageError
from luoxia.core.names import expanded
from luoxia.core.sections import flatten, merge, nest
from luoxia.core.sentences import ELSEWHERE
from luoxia.core.values import as_words


def right_form(words: Sequence[str]) -> str | None:
    """What should stand for the first word, where it and the next are a setting in another form; None where not.

    ``--data x``, ``--data=x``, ``data: x``, ``data = x`` and ``batch-size=8`` are settings in another form.
    """
    word, *rest = words
    match = re.fullmatch(r"(-{0,2})([A-Za-z_][\w.-]*)\s*([=:]?)\s*(.*)", word, re.DOTALL)
    if match is None:
        return None
    dashes, name, sign, value = match.groups()
    key = name.replace("-", "_")
    key = ELSEWHERE.get(key, key)
    spaced = not sign and bool(rest) and rest[0].startswith("=")
    if not dashes and "-" not in name and sign == "=" and value:
        return None
    if not (dashes or "-" in name or sign == ":" or spaced or (sign and rest and "=" not in rest[0])):
        return None
    if not value and rest and (dashes or spaced or sign):
        value = rest[0].removeprefix("=") or (rest[1] if len(rest) > 1 else "")
    return f"{key}={value or 'VALUE'}"


def parse_settings(words: Iterable[str]) -> dict[str, Any]:
    """``["lr=1e-4", "ema.half_life=5000"]`` → nested settings. ``config=file.yaml`` is read first, the others win."""
    pairs: list[tuple[str, str]] = []
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or not key:
            raise UsageError(f"'{word}' is not a setting; use key=value, such as steps=1000")
        first = dict(pairs).get(key := key.strip())
        if first is not None and key != "config":
            raise UsageError(f"{key}= is given twice, as {key}={first} and {key}={value}: give it once")
        pairs.append((key, value))
    files = [read_yaml(expanded(value)) for key, value in pairs if key == "config"]
    return functools.reduce(
        merge, [*files, *(nest({key: value}) for key, value in pairs if key != "config")], {}
    )


def key_words(settings: Mapping[str, Any]) -> list[str]:
    """Settings as ``key=value`` words.

    >>> key_words({"lr": 0.1, "ema": {"every": 2}, "betas": (0, 0.9), "size": None})
    ['lr=0.1', 'ema.every=2', 'betas=0,0.9', 'size=none']
    """
    return [f"{key}={as_word(value)}" for key, value in flatten(settings).items()]


def as_word(value: Any) -> str:
    """A value as a person writes it."""
    if value is None or value in ([], ()):
        return "none"
    if isinstance(value, list | tuple):
        return as_words(value)
    return str(value).lower() if isinstance(value, bool) else str(value)


def read_yaml(path: Path) -> dict[str, Any]:
    """The settings in a YAML file; keys may be nested or dotted."""
    import yaml

    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"config={path} cannot be read: {error.strerror or error}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UsageError(f"config={path} is not valid YAML: {_where(error)}") from error
    if content is None:
        return {}
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        raise UsageError(f"config={path} must contain one key: value pair per line")
    settings = nest(content)
    if "use" in settings:
        raise UsageError(f"config={path} names a file of code as use: name it yourself, use=FILE.py")
    return settings


def _where(error: Exception) -> str:
    """The place and the nature of an error in YAML, in one line."""
    mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None)
    return f"line {mark.line + 1}: {problem}" if mark and problem else str(error).splitlines()[0]
