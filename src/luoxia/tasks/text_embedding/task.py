"""Embedding of text, as a task."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from luoxia.tasks.base import Capability, Network
from luoxia.tasks.shared.settings import PairMeasureSettings
from luoxia.tasks.shared.token_task import PairTask
from luoxia.tasks.text_embedding.recipes import EmbedText
from luoxia.tasks.text_embedding.settings import EmbedSettings

if TYPE_CHECKING:
    from luoxia.tasks.record import ModelRecord

HERE = "luoxia.tasks.text_embedding"


class TextEmbedding(PairTask):
    """Which texts mean the same."""

    name: ClassVar[str] = "text embedding"
    kind: ClassVar[str] = "text embedder"
    unit: ClassVar[str] = "pairs"
    recipes = (EmbedText,)
    needs: ClassVar[str] = "data=FILE against=FILE_OF_THE_SAME_MEANING, or data=PAIRS.tsv"
    sample_note: ClassVar[str] = (
        "Held-out texts; → the nearest answer of all, with its cosine; = the right one, with its rank."
    )
    key_scores: ClassVar[tuple[str, ...]] = ("retrieval@1", "MRR")
    family = EmbedText
    stage_names = (f"{HERE}.stage:EmbeddingStage",)
    networks: ClassVar[Mapping[str, Network]] = {"sentence encoder": "luoxia.nn.pooling:SentenceEncoder"}

    capabilities: ClassVar[Mapping[str, Capability]] = {
        "embed": Capability(EmbedSettings, f"{HERE}.embed:embed", 'luoxia embed RUN "a text" out=FILE.npy'),
        "measure": Capability(PairMeasureSettings, f"{HERE}.measure:measure", "luoxia measure RUN"),
    }

    def load(self, record: ModelRecord, weights: dict[str, Any], **common: Any) -> Any:
        """A ``TextEmbedder``."""
        from luoxia.tasks.shared.token_stage import open_network
        from luoxia.tasks.text_embedding.model import TextEmbedder

        return TextEmbedder(*open_network(record, weights), **common)


TASK = TextEmbedding()
