"""Text ready for a language model: the source, its tokeniser, and its packed tokens, under one fingerprint."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from luoxia.data.cache import cache_folder, publish
from luoxia.data.files import Skipped
from luoxia.data.text.alignment import PairSource, read_pairs
from luoxia.data.text.pairs import PairDataset
from luoxia.data.text.sources import TextSource, read_texts
from luoxia.data.text.spec import TextSpec
from luoxia.data.text.tokeniser import SEPARATOR, Tokeniser
from luoxia.data.text.tokens import TokenDataset
from luoxia.errors import LuoxiaError

VERSION = 1  # raise it when tokenisers learn differently


@dataclass(frozen=True)
class Corpus:
    """What a recipe learns from; its length is the number of documents."""

    tokens: TokenDataset
    tokeniser: Tokeniser

    def __len__(self) -> int:
        return len(self.tokens)

    @property
    def spec(self) -> TextSpec:
        """All that a recipe's ``build`` may know."""
        return TextSpec(self.tokeniser.vocabulary)

    @property
    def source(self) -> str:
        """What a person reads."""
        return self.tokens.source

    @property
    def fingerprint(self) -> str:
        """Hex digest of the content and of the tokeniser."""
        return _digest(self.tokens.fingerprint, self.tokeniser)

    @property
    def skipped(self) -> list[Skipped]:
        """What could not be used: the first of them, when there are very many."""
        return self.tokens.skips.listed


@dataclass(frozen=True)
class PairCorpus:
    """Sentence pairs and the one tokeniser of both languages; its length is the number of pairs."""

    pairs: PairDataset
    tokeniser: Tokeniser

    def __len__(self) -> int:
        return len(self.pairs)

    @property
    def spec(self) -> TextSpec:
        """All that a recipe's ``build`` may know."""
        return TextSpec(self.tokeniser.vocabulary)

    @property
    def source(self) -> str:
        """What a person reads."""
        return self.pairs.title

    @property
    def fingerprint(self) -> str:
        """Hex digest of the content and of the tokeniser."""
        return _digest(self.pairs.fingerprint, self.tokeniser)

    @property
    def skipped(self) -> list[Skipped]:
        """What could not be used: the first of them, when there are very many."""
        return self.pairs.skips.listed

    def texts(self, indices: Iterable[int]) -> tuple[list[str], list[str]]:
        """Sources and targets of these pairs."""
        decode = self.tokeniser.decode
        chosen = list(indices)
        sources, targets = (
            [decode(side[i].tolist()) for i in chosen] for side in (self.pairs.sources, self.pairs.targets)
        )
        return sources, targets


def open_pair_corpus(path: str, against: str | None, tokeniser: str, vocabulary: int | None) -> PairCorpus:
    """Read pairs (see ``read_pairs``), learn one tokeniser from both sides, and pack their tokens."""
    source = read_pairs(path, against)
    learned = learn_tokeniser(source, tokeniser, vocabulary)
    return PairCorpus(PairDataset.open(source, learned), learned)


def open_corpus(path: str | None, tokeniser: str, vocabulary: int | None) -> Corpus:
    """Read text (see ``read_texts``), learn a tokeniser of the named kind from it, and pack its tokens."""
    source = read_texts(path)
    learned = learn_tokeniser(source, tokeniser, vocabulary)
    return Corpus(TokenDataset.open(source, learned), learned)


def _digest(fingerprint: str, tokeniser: Tokeniser) -> str:
    return sha256(f"{fingerprint} {tokeniser.digest}".encode()).hexdigest()[:32]


def learn_tokeniser(source: TextSource | PairSource, kind: str, vocabulary: int | None) -> Tokeniser:
    """The tokeniser of a source, learnt once for the cache; only bpe and unigram have a ``vocabulary`` to choose."""
    size = vocabulary if kind in ("bpe", "unigram") else None
    key = f"{VERSION} {source.fingerprint} {kind} {size}"
    entry = cache_folder() / "tokenisers" / sha256(key.encode()).hexdigest()[:32]

    def build(folder: Path) -> None:
        texts = () if kind == "byte" else source.texts()
        Tokeniser.train(kind, texts, size, specials=(SEPARATOR,)).save(folder)

    if not entry.is_dir():
        publish(entry, build)
    try:
        return Tokeniser.load(entry)
    except LuoxiaError as error:
        raise LuoxiaError(f"the cache entry {entry} is damaged: remove this folder and try again") from error
