"""Keys of a verb, and beside them the fields that a model knows, whatever they are called."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

from luoxia.core.config import Config
from luoxia.core.errors import UsageError
from luoxia.core.sections import flatten
from luoxia.core.sentences import nearest


def sort_fields(
    settings: Mapping[str, Any], known: Sequence[str], keys_of: type[Config]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """(what the fields say, all other settings): a field is a key, or condition.FIELD where a key has its name.

    ``UsageError`` for a key that is neither a field, where there are some, nor one of ``keys_of``.
    """
    keys = [field.alias or name for name, field in keys_of.model_fields.items()]
    given = dict(settings)
    prefixed = given.pop("condition", {})
    if not isinstance(prefixed, dict):
        raise UsageError(f"condition={prefixed}: write condition.FIELD=VALUE, or FIELD=VALUE")
    # The dot in the name of a field has made a section of it.
    fields, prefixed = (
        {unicodedata.normalize("NFC", key): value for key, value in flatten(nested).items()}
        for nested in (given, prefixed)
    )
    said = {key: fields[key] for key in known if key in fields and key not in keys}
    others = {key: value for key, value in fields.items() if key not in said}
    for key in others:
        if known and key not in keys:
            hint = nearest(key, [*known, *keys]) or f"; the fields of this model are {', '.join(known)}"
            raise UsageError(f"unknown key '{key}'{hint}")
    return {**prefixed, **said}, others
