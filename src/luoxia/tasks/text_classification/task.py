"""Classification of text, as a task."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from luoxia.core.errors import UsageError
from luoxia.core.names import many
from luoxia.runs.reported import Section
from luoxia.tasks.base import Capability, Network
from luoxia.tasks.shared.settings import MeasureSettings
from luoxia.tasks.shared.token_task import TokenTask, vocabulary
from luoxia.tasks.text_classification.recipes import ClassifyText
from luoxia.tasks.text_classification.settings import ClassifySettings

if TYPE_CHECKING:
    from luoxia.runs.display import Display
    from luoxia.tasks.record import ModelRecord

HERE = "luoxia.tasks.text_classification"


class TextClassification(TokenTask):
    """Which class a text has."""

    name: ClassVar[str] = "text classification"
    kind: ClassVar[str] = "text classifier"
    inputs: ClassVar[tuple[str, ...]] = ("text",)
    output: ClassVar[str] = "class"
    recipes = (ClassifyText,)
    items: ClassVar[str] = "texts"
    sample_note: ClassVar[str] = "Held-out texts; → what the model says, and how sure it is; = what is right."
    key_scores: ClassVar[tuple[str, ...]] = ("accuracy", "macro F1")
    sections = (Section("confusion", "Confusion", f"{HERE}.report:confusion_matrix"),)
    family = ClassifyText
    stage_names = (f"{HERE}.stage:ClassificationStage",)
    networks: ClassVar[Mapping[str, Network]] = {
        "sentence classifier": "luoxia.nn.pooling:SentenceClassifier"
    }

    capabilities: ClassVar[Mapping[str, Capability]] = {
        "classify": Capability(ClassifySettings, f"{HERE}.classify:classify", 'luoxia classify RUN "a text"'),
        "measure": Capability(MeasureSettings, f"{HERE}.measure:measure", "luoxia measure RUN"),
    }

    def open(self, recipe: Any, display: Display | None = None) -> Any:
        """The texts that ``data`` names, with the classes that folders or ``label`` name."""
        from luoxia.media.text.corpus import open_labeled_corpus
        from luoxia.tasks.shared.token_stage import base_tokenizer

        if recipe.data is None:
            raise UsageError(
                "classify-text needs data=FOLDER_OF_CLASS_FOLDERS, or data=FILE.jsonl label=FIELD"
            )
        return open_labeled_corpus(
            recipe.data,
            recipe.text,
            recipe.label,
            base_tokenizer(recipe),
            recipe.vocabulary,
            recipe.allow_skipped,
        )

    def describe(self, data: Any) -> str:
        """Texts, classes and vocabulary."""
        classes = f"{len(data.data.classes):,} classes"
        return f"{many(len(data), 'text')} of {classes} ({vocabulary(data)}), {data.source}"

    def load(self, record: ModelRecord, weights: dict[str, Any], **common: Any) -> Any:
        """A ``TextClassifier``."""
        from luoxia.tasks.shared.token_stage import open_network
        from luoxia.tasks.text_classification.model import TextClassifier

        classes = record.config.get("classes", [])
        return TextClassifier(*open_network(record, weights), classes=classes, **common)


TASK = TextClassification()
