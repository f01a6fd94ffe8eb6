"""A trained translator."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from luoxia.core.config import checked
from luoxia.decoding.beam import Beams, beam_search
from luoxia.nn.transformer import EncoderDecoder
from luoxia.tasks.shared.token_model import TokenModel
from luoxia.tasks.text_translation.settings import TranslateSettings


class Translator(TokenModel[EncoderDecoder]):
    """An encoder–decoder that translates.

    >>> import luoxia
    >>> from pathlib import Path
    >>> for file, word in (("a.txt", "day"), ("b.txt", "Tag")):
    ...     _ = Path(file).write_text("".join(f"{word} {i}\\n" for i in range(40)))
    >>> tiny = {"layers": 1, "heads": 1, "width": 8, "batch": 64, "steps": 2}
    >>> run = luoxia.train("translate", data="a.txt", against="b.txt", **tiny, quiet=True)
    >>> len(luoxia.load(run).translate(["day 3", "day 4"], max_tokens=4))
    2
    """

    @checked(TranslateSettings, "beams", "alpha", "max_tokens")
    def translate(
        self, texts: str | Sequence[str], *, beams: int = 5, alpha: float = 0.6, max_tokens: int = 128
    ) -> Any:
        """Texts → their translations, as a list; a single text → a single one. Empty texts stay empty.

        A text that is longer than the model's context is a ``UsageError``.

        ``alpha`` is the exponent of the length penalty (Wu et al. 2016, eq. 14).
        """
        if isinstance(texts, str):
            return self.translate([texts], beams=beams, alpha=alpha, max_tokens=max_tokens)[0]
        bos, eos = int(self.tokenizer.bos or 0), int(self.tokenizer.eos or 0)
        sources = {i: [*self.tokenizer.encode(text), eos] for i, text in enumerate(texts) if text.strip()}
        hypotheses = beam_search(
            self.network,
            [[bos]] * len(sources),
            Beams(beams=beams, alpha=alpha, max_tokens=max_tokens),
            eos=eos,
            sources=list(sources.values()),
        )
        translations = {
            i: self.tokenizer.decode(best[0].ids) for i, best in zip(sources, hypotheses, strict=True)
        }
        return [translations.get(i, "") for i in range(len(texts))]
