"""Text: files → documents or pairs → tokens → batches."""

from luoxia.data.text.alignment import Pair, PairSource, read_pairs
from luoxia.data.text.labelled import LabelledBatch, LabelledBatches, LabelledDataset
from luoxia.data.text.pairs import (
    ConditionedBatches,
    ConditionedDataset,
    PairBatch,
    PairBatches,
    PairDataset,
    PrefixBatch,
    condition_prompt,
)
from luoxia.data.text.reading import Skips
from luoxia.data.text.sources import Document, TextSource, read_texts
from luoxia.data.text.tokeniser import SEPARATOR, Tokeniser
from luoxia.data.text.tokens import IGNORED, TokenBatches, TokenDataset, TokenStream, Windows

__all__ = [
    "IGNORED",
    "SEPARATOR",
    "ConditionedBatches",
    "ConditionedDataset",
    "Document",
    "LabelledBatch",
    "LabelledBatches",
    "LabelledDataset",
    "Pair",
    "PairBatch",
    "PairBatches",
    "PairDataset",
    "PairSource",
    "PrefixBatch",
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
