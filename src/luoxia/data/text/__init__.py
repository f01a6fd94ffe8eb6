"""Text: files → documents or pairs → tokens → batches."""

from luoxia.data.reading import Skips
from luoxia.data.text.alignment import Pair, PairSource, read_pairs
from luoxia.data.text.conditions import ConditionedBatches, ConditionedDataset, Documents, condition_prompt
from luoxia.data.text.labelled import LabelledBatch, LabelledBatches, LabelledDataset
from luoxia.data.text.pairs import PairBatch, PairBatches, PairDataset
from luoxia.data.text.sources import Document, TextSource, read_texts
from luoxia.data.text.tokeniser import SEPARATOR, Tokeniser
from luoxia.data.text.tokens import IGNORED, TokenBatches, TokenDataset, TokenStream, Windows

__all__ = [
    "IGNORED",
    "SEPARATOR",
    "ConditionedBatches",
    "ConditionedDataset",
    "Document",
    "Documents",
    "LabelledBatch",
    "LabelledBatches",
    "LabelledDataset",
    "Pair",
    "PairBatch",
    "PairBatches",
    "PairDataset",
    "PairSource",
    "Skips",
    "TextSource",
    "TokenBatches",
    "TokenDataset",
    "TokenStream",
    "Tokeniser",
    "Windows",
    "condition_prompt",
    "read_pairs",
    "read_texts",
]
