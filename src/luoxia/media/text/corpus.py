"""Text ready for a language model: the source, its tokenizer, and its packed tokens, under one fingerprint."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np

from luoxia.core.cache import cache_folder, publish
from luoxia.core.errors import LuoxiaError, MissingExtraError
from luoxia.core.order import Order, holdout_split
from luoxia.core.reading import ALLOWED
from luoxia.core.skips import Skipped
from luoxia.media.text.alignment import PairSource, read_pairs
from luoxia.media.text.chats import ChatDataset
from luoxia.media.text.conditions import ConditionedBatches, ConditionedDataset, Documents
from luoxia.media.text.labeled import LabeledDataset
from luoxia.media.text.pairs import PairDataset
from luoxia.media.text.ragged import Indices
from luoxia.media.text.sources import TextSource, read_texts
from luoxia.media.text.spec import TextSpec
from luoxia.media.text.tokenizer import SEPARATOR, Tokenizer
from luoxia.media.text.tokens import TokenBatches, TokenDataset, TokenStream, Windows

VERSION = 2  # raise it when tokenizers learn differently
MOST_TEXT = 20_000_000
"""Tokens of a part that are read back as text, at most."""

Draw = Callable[[int, int], Indices]
"""(high, n) → n random numbers from 0 to high - 1."""
Part = TypeVar("Part", TokenStream, Documents)


class Tokenized:
    """Data in a tokenizer's tokens, which it is named by; its length is the number of documents, or of pairs."""

    data: Any  # Packed
    tokenizer: Tokenizer

    def __len__(self) -> int:
        return len(self.data)

    @property
    def spec(self) -> TextSpec:
        """All that a recipe's ``build`` may know."""
        return TextSpec(self.tokenizer.vocabulary)

    @property
    def source(self) -> str:
        """What a person reads."""
        return str(self.data.title)

    @property
    def fingerprint(self) -> str:
        """Hex digest of the content and of the tokenizer."""
        return sha256(f"{self.data.fingerprint} {self.tokenizer.digest}".encode()).hexdigest()[:32]

    @property
    def skipped(self) -> list[Skipped]:
        """What could not be used: the first of them, when there are very many."""
        return list(self.data.skips.listed)


class LanguageCorpus(Tokenized, Generic[Part]):
    """What a language model learns from, in parts: some to learn from, some held out."""

    condition: tuple[str, ...] = ()
    """The fields that state what a text is to be."""

    @property
    def size(self) -> int:
        """Tokens, those of conditions among them."""
        raise NotImplementedError

    def whole(self) -> Part:
        """All of it."""
        raise NotImplementedError

    def split(self, holdout: float, seed: int) -> tuple[Part, Part]:
        """(train, held-out) text; ``holdout=0`` holds none out."""
        raise NotImplementedError

    def batches(
        self, part: Part, rows: int, context: int, seed: int, world_size: int = 1, rank: int = 0
    ) -> TokenBatches | ConditionedBatches:
        """Batches for training, of ``rows`` × ``context`` tokens."""
        raise NotImplementedError

    def some(self, part: Part, rows: int, context: int, draw: Draw) -> Windows | None:
        """Random ``rows`` of a part; None of one that has none."""
        raise NotImplementedError

    def texts(self, part: Part) -> list[str]:
        """The documents of a part; of a very long one, its beginning."""
        raise NotImplementedError

    def conditions(self, part: Part, n: int, context: int, seed: int) -> list[dict[str, str]] | None:
        """Those of ``n`` documents of a part, in random order, of each once before any comes again; None without."""
        raise NotImplementedError


@dataclass(frozen=True)
class Corpus(LanguageCorpus[TokenStream]):
    """Documents, packed end to end."""

    data: TokenDataset
    tokenizer: Tokenizer

    @property
    def size(self) -> int:
        """Tokens."""
        return len(self.whole())

    def whole(self) -> TokenStream:
        """All of it."""
        return self.data.whole()

    def split(self, holdout: float, seed: int) -> tuple[TokenStream, TokenStream]:
        """(train, held-out) text; ``holdout=0`` holds none out."""
        return self.data.split(holdout, seed)

    def batches(
        self, part: TokenStream, rows: int, context: int, seed: int, world_size: int = 1, rank: int = 0
    ) -> TokenBatches:
        """Batches of stretches of text."""
        return TokenBatches(part, rows, context, seed, world_size, rank)

    def some(self, part: TokenStream, rows: int, context: int, draw: Draw) -> Windows | None:
        """Random stretches; None of a part that has none."""
        last = len(part) - context
        return part.windows(draw(last, rows), context) if last > 0 else None

    def texts(self, part: TokenStream) -> list[str]:
        """The documents of a part, decoded; of a very long one, its beginning."""
        tokens = part.take(np.arange(min(len(part), MOST_TEXT)))
        pieces = np.split(tokens, np.flatnonzero(tokens == part.eos) + 1)
        texts = (self.tokenizer.decode(piece.tolist()) for piece in pieces if len(piece))
        return [text for text in texts if text]

    def conditions(self, part: TokenStream, n: int, context: int, seed: int) -> None:
        """There are none."""


@dataclass(frozen=True)
class ConditionedCorpus(LanguageCorpus[Documents]):
    """Documents, each after the fields that state what it is to be.

    In training a field is ``omitted`` with this chance, and so are all of them.
    """

    data: ConditionedDataset
    tokenizer: Tokenizer
    omitted: float = 0.0

    @property
    def size(self) -> int:
        """Tokens, those of the conditions among them."""
        return int((self.data.prefix_lengths + self.data.texts.lengths).sum())

    @property
    def condition(self) -> tuple[str, ...]:  # type: ignore[override]
        """The fields that state what a text is to be."""
        return self.data.names

    def whole(self) -> Documents:
        """All of it."""
        return Documents(self.data, np.arange(len(self)))

    def split(self, holdout: float, seed: int) -> tuple[Documents, Documents]:
        """(train, held-out) documents; none are held out of fewer than 20."""
        train, heldout = holdout_split(len(self), holdout, seed)
        return Documents(self.data, train), Documents(self.data, heldout)

    def batches(
        self, part: Documents, rows: int, context: int, seed: int, world_size: int = 1, rank: int = 0
    ) -> ConditionedBatches:
        """Batches of whole documents, ``rows`` × ``context`` tokens at most."""
        return ConditionedBatches(part, rows * context, context, seed, world_size, rank, self.omitted)

    def some(self, part: Documents, rows: int, context: int, draw: Draw) -> Windows | None:
        """Random documents; None of a part that has none."""
        fitting = part.fitting(context)
        return self.data.rows(fitting[draw(len(fitting), rows)], context) if len(fitting) else None

    def texts(self, part: Documents) -> list[str]:
        """The documents of a part, without their conditions."""
        lengths = np.cumsum(self.data.texts.lengths[part.samples])
        chosen = part.samples[: np.searchsorted(lengths, MOST_TEXT) + 1]
        return [self.tokenizer.decode(self.data.texts[index].tolist()) for index in chosen]

    def conditions(self, part: Documents, n: int, context: int, seed: int) -> list[dict[str, str]] | None:
        """Of documents whose condition leaves room for a text."""
        if not len(fitting := part.fitting(context)):
            return None
        order = Order(len(fitting), seed).indices(0, n)
        return [self.data.condition(index) for index in fitting[order]]


@dataclass(frozen=True)
class ChatCorpus(ConditionedCorpus):
    """Chats, a row each."""

    def conditions(self, part: Documents, n: int, context: int, seed: int) -> None:
        """There are none."""


@dataclass(frozen=True)
class PairCorpus(Tokenized):
    """Sentence pairs and the one tokenizer of both languages."""

    data: PairDataset
    tokenizer: Tokenizer

    def texts(self, indices: Iterable[int]) -> tuple[list[str], list[str]]:
        """Sources and targets of these pairs."""
        decode = self.tokenizer.decode
        chosen = list(indices)
        sources, targets = (
            [decode(side[i].tolist()) for i in chosen] for side in (self.data.sources, self.data.targets)
        )
        return sources, targets


@dataclass(frozen=True)
class LabeledCorpus(Tokenized):
    """Texts with classes, and their tokenizer."""

    data: LabeledDataset
    tokenizer: Tokenizer

    @property
    def spec(self) -> TextSpec:
        """All that a recipe's ``build`` may know."""
        return TextSpec(self.tokenizer.vocabulary, len(self.data.classes))

    def texts(self, indices: Iterable[int]) -> tuple[list[str], list[str]]:
        """These texts, and the names of their classes."""
        chosen = list(indices)
        texts = [self.tokenizer.decode(self.data.texts[i].tolist()) for i in chosen]
        return texts, [self.data.classes[self.data.labels[i]] for i in chosen]


def open_pair_corpus(
    path: str,
    against: str | None,
    tokenizer: str | Tokenizer,
    vocabulary: int | None,
    allow_skipped: float = ALLOWED,
) -> PairCorpus:
    """Read pairs (see ``read_pairs``), learn one tokenizer from both sides unless given one, and pack their tokens."""
    source = read_pairs(path, against, allow_skipped=allow_skipped)
    learned = learn_tokenizer(source, tokenizer, vocabulary)
    return PairCorpus(PairDataset.open(source, learned), learned)


def open_labeled_corpus(
    path: str,
    text: str | None,
    label: str | None,
    tokenizer: str | Tokenizer,
    vocabulary: int | None,
    allow_skipped: float = ALLOWED,
) -> LabeledCorpus:
    """Read labeled texts (see ``read_texts``), learn a tokenizer from them unless given one, and pack their tokens."""
    source = read_texts(path, target=text, label=label, allow_skipped=allow_skipped)
    learned = learn_tokenizer(source, tokenizer, vocabulary)
    return LabeledCorpus(LabeledDataset.open(source, learned), learned)


def open_corpus(
    path: str | None,
    tokenizer: str,
    vocabulary: int | None,
    *,
    condition: Iterable[str] = (),
    target: str | None = None,
    omitted: float = 0.0,
    allow_skipped: float = ALLOWED,
) -> LanguageCorpus[Any]:
    """Read text (see ``read_texts``), learn a tokenizer of the named kind from it, and pack its tokens."""
    source = read_texts(path, condition=condition, target=target, allow_skipped=allow_skipped)
    return corpus_of(source, learn_tokenizer(source, tokenizer, vocabulary), omitted)


def corpus_of(source: TextSource, tokenizer: Tokenizer, omitted: float = 0.0) -> LanguageCorpus[Any]:
    """A source in a tokenizer's tokens; see ``ConditionedCorpus`` for ``omitted``."""
    if source.chat is not None:
        return ChatCorpus(ChatDataset.open(source, tokenizer), tokenizer)
    if source.condition:
        return ConditionedCorpus(ConditionedDataset.open(source, tokenizer), tokenizer, omitted)
    return Corpus(TokenDataset.open(source, tokenizer), tokenizer)


def learn_tokenizer(
    source: TextSource | PairSource, kind: str | Tokenizer, vocabulary: int | None
) -> Tokenizer:
    """The tokenizer of a source, learned once for the cache; only bpe and unigram have a ``vocabulary`` to choose.

    One that is given instead of its ``kind`` is returned as it is.
    """
    if isinstance(kind, Tokenizer):
        return kind
    size = vocabulary if kind in ("bpe", "unigram") else None
    key = f"{VERSION} {source.fingerprint} {kind} {size}"
    entry = cache_folder() / "tokenizers" / sha256(key.encode()).hexdigest()[:32]

    def build(folder: Path) -> None:
        texts = () if kind == "byte" else source.texts()
        Tokenizer.train(kind, texts, size, specials=(SEPARATOR,)).save(folder)

    if not entry.is_dir():
        publish(entry, build)
    try:
        return Tokenizer.load(entry)
    except MissingExtraError:
        raise
    except LuoxiaError as error:
        raise LuoxiaError(f"the cache entry {entry} is damaged: remove this folder and try again") from error
