"""Translating, as a verb: a text, or a file line by line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from luoxia.core.sections import flatten
from luoxia.provenance.label import Label
from luoxia.tasks.outputs import Text, claimed
from luoxia.tasks.record import ModelRecord
from luoxia.tasks.shared.texts import resolved
from luoxia.tasks.text_translation.settings import TranslateSettings


def translate(record: ModelRecord, what: str | Path, /, **settings: Any) -> Path | str:
    """A text's translation, or where that of a file was written: a line or a row in is a line out.

    ``settings`` are those of ``TranslateSettings``.
    """
    chosen: TranslateSettings = TranslateSettings.from_settings(flatten(settings))
    what = resolved(what)
    read = what if isinstance(what, Path) else None
    out = claimed(record, chosen.out, None, chosen.overwrite, read)
    from luoxia.formats import txt
    from luoxia.media.text.asked import texts_in
    from luoxia.tasks.labeling import label_of, parent
    from luoxia.tasks.loading import load_model

    translator = load_model(record, device=chosen.device)
    lines = [str(what)] if read is None else texts_in(read, chosen.field, blank=True)
    translations = translator.translate(
        lines, beams=chosen.beams, alpha=chosen.alpha, max_tokens=chosen.max_tokens
    )
    content = "\n".join(" ".join(line.splitlines()) for line in translations)

    def label() -> Label:
        request = {"beams": chosen.beams, "alpha": chosen.alpha, "max_tokens": chosen.max_tokens}
        return label_of(translator, record).asked(request, parents=parent(read))

    if out is None:
        return Text(content, label)
    return txt.write(content + "\n", label(), out, inline=chosen.label_inline == "end")
