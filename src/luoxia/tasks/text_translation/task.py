"""Translation of text, as a task."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from luoxia.tasks.base import Capability
from luoxia.tasks.shared.settings import PairMeasureSettings
from luoxia.tasks.shared.token_task import TokenTask
from luoxia.tasks.text_translation.recipes import Translate
from luoxia.tasks.text_translation.settings import TranslateSettings

if TYPE_CHECKING:
    from luoxia.runs.display import Display
    from luoxia.tasks.record import ModelRecord

NEEDS = "data=FILE.en against=FILE.de, or data=PAIRS.tsv"

HERE = "luoxia.tasks.text_translation"


class TextTranslation(TokenTask):
    """A sentence into its counterpart in another language."""

    name: ClassVar[str] = "text translation"
    kind: ClassVar[str] = "translator"
    inputs: ClassVar[tuple[str, ...]] = ("text",)
    recipes = (Translate,)
    items: ClassVar[str] = "pairs"
    key_scores: ClassVar[tuple[str, ...]] = ("BLEU", "chrF")
    family = Translate
    stage_names = (f"{HERE}.stage:TranslationStage",)

    capabilities: ClassVar[Mapping[str, Capability]] = {
        "translate": Capability(
            TranslateSettings, f"{HERE}.translate:translate", 'luoxia translate RUN "a text"'
        ),
        "measure": Capability(PairMeasureSettings, f"{HERE}.measure:measure", "luoxia measure RUN"),
    }

    def open(self, recipe: Any, display: Display | None = None) -> Any:
        """The pairs that ``data`` and ``against`` name."""
        from luoxia.tasks.shared.pairs import open_pairs

        return open_pairs(recipe, NEEDS, display)

    def settle(self, recipe: Any, data: Any) -> dict[str, Any]:
        """The other file, from wherever the run is resumed."""
        from luoxia.tasks.shared.pairs import settle_pairs

        return settle_pairs(recipe)

    def describe(self, data: Any) -> str:
        """Pairs and vocabulary."""
        from luoxia.tasks.shared.pairs import describe_pairs

        return describe_pairs(data)

    def load(self, record: ModelRecord, weights: dict[str, Any], **common: Any) -> Any:
        """A ``Translator``."""
        from luoxia.tasks.shared.token_stage import open_network
        from luoxia.tasks.text_translation.model import Translator

        return Translator(*open_network(record, weights), **common)


TASK = TextTranslation()
