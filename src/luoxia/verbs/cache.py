"""The call behind ``luoxia cache``: what the cache holds, and making room in it."""

from __future__ import annotations

from typing import Any

from luoxia.core import cache
from luoxia.core.errors import UsageError
from luoxia.core.values import spell_bytes
from luoxia.verbs.settings import CacheSettings


def manage(action: str | None = None, /, **settings: Any) -> dict[str, str]:
    """List the cache by kind of entry; ``action="clear"`` empties it, ``limit=`` keeps what was used last.

    Whatever is removed is made again when it is needed. ``UsageError`` for another action, ``LuoxiaError`` where an
    entry cannot be removed.
    """
    chosen: CacheSettings = CacheSettings.from_settings(settings)
    if action not in (None, "clear"):
        raise UsageError(
            f"luoxia cache {action}: use luoxia cache, luoxia cache clear, or luoxia cache limit=20G"
        )
    if action and chosen.limit is not None:
        raise UsageError("clear removes every entry: leave limit= out")
    limit = 0 if action else chosen.limit
    removed = [] if limit is None else cache.evict(limit)
    left = cache.entries()
    facts = {"folder": str(cache.cache_folder())}
    for kind in sorted({entry.kind for entry in left}):
        facts[kind] = _summary([entry for entry in left if entry.kind == kind])
    facts["total"] = _summary(left)
    return facts | ({"removed": _summary(removed)} if limit is not None else {})


def _summary(entries: list[cache.Entry]) -> str:
    plural = "entry" if len(entries) == 1 else "entries"
    return f"{len(entries):,} {plural}, {spell_bytes(sum(entry.size for entry in entries))}"
