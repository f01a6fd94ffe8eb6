"""Translation of text, as a task."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from luoxia.tasks.base import Capability, Network
from luoxia.tasks.shared.settings import PairMeasureSettings
from luoxia.tasks.shared.token_task import PairTask
from luoxia.tasks.text_translation.recipes import Translate
from luoxia.tasks.text_translation.settings import TranslateSettings

if TYPE_CHECKING:
    from luoxia.tasks.record import ModelRecord

HERE = "luoxia.tasks.text_translation"


class TextTranslation(PairTask):
    """A sentence into its counterpart in another language."""

    name: ClassVar[str] = "text translation"
    kind: ClassVar[str] = "translator"
    recipes = (Translate,)
    needs: ClassVar[str] = "data=FILE.en against=FILE.de, or data=PAIRS.tsv"
    key_scores: ClassVar[tuple[str, ...]] = ("BLEU", "chrF")
    family = Translate
    stage_names = (f"{HERE}.stage:TranslationStage",)
    networks: ClassVar[Mapping[str, Network]] = {"encoder-decoder": "luoxia.nn.transformer:EncoderDecoder"}

    capabilities: ClassVar[Mapping[str, Capability]] = {
        "translate": Capability(
            TranslateSettings, f"{HERE}.translate:translate", 'luoxia translate RUN "a text"'
        ),
        "measure": Capability(PairMeasureSettings, f"{HERE}.measure:measure", "luoxia measure RUN"),
    }

    def load(self, record: ModelRecord, weights: dict[str, Any], **common: Any) -> Any:
        """A ``Translator``."""
        from luoxia.tasks.shared.token_stage import open_network
        from luoxia.tasks.text_translation.model import Translator

        return Translator(*open_network(record, weights), **common)


TASK = TextTranslation()
