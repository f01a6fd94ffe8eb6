"""Text from a Transformer, token by token: greedy or sampled, in batches or as a stream, free or constrained."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, TypedDict, Unpack

import torch
from torch import Tensor

from luoxia.core.errors import UsageError
from luoxia.core.html import escape
from luoxia.decoding import distribution
from luoxia.decoding.constraints import Constraint
from luoxia.decoding.pieces import Decode, Pieces, continuation
from luoxia.decoding.steps import Ids, Network, Steps, batches, check, evaluating

Reason = Literal["eos", "stop", "complete", "length", "context"]


@dataclass(frozen=True)
class Decoding:
    """How the next token is chosen, and when to stop."""

    max_tokens: int = 256
    temperature: float = 1.0  # of the distribution; 0 = always the likeliest token (greedy)
    top_k: int = 0  # the k likeliest; 0 = all
    top_p: float = 1.0  # the fewest whose probability reaches this; 1 = all
    min_p: float = 0.0  # those at least this times as likely as the likeliest; 0 = all
    repetition_penalty: float = 1.0  # for tokens already in the row; 1 = none
    stop: tuple[str, ...] = ()  # texts that end the row and are not given out
    seed: int = 0

    def __post_init__(self) -> None:
        """Check every value."""
        for name, right, wanted in (
            ("max_tokens", self.max_tokens >= 1, "1 or more"),
            ("temperature", 0 <= self.temperature < math.inf, "0 (greedy) or more"),
            ("top_k", self.top_k >= 0, "0 (all) or more"),
            ("top_p", 0 < self.top_p <= 1, "above 0 and at most 1"),
            ("min_p", 0 <= self.min_p <= 1, "from 0 to 1"),
            ("repetition_penalty", 0 < self.repetition_penalty < math.inf, "above 0, and 1 for none"),
            ("stop", not isinstance(self.stop, str) and all(self.stop), "a list of texts that are not empty"),
            ("seed", 0 <= self.seed < 2**64, "from 0 to 2^64 - 1"),
        ):
            if not right:
                raise UsageError(f"{name}={getattr(self, name)!r} is invalid: must be {wanted}")


class Options(TypedDict, total=False):
    """What else decoding may be given."""

    eos: int | Collection[int] | None  # tokens that end a row; they are not given out
    decode: Decode | None  # the tokenizer's, which stop strings and texts need
    sources: Sequence[Ids] | None  # what an encoder–decoder reads, one for each prompt
    constraints: Sequence[Constraint] | None  # a fresh one for each prompt
    batch: int  # rows computed together at most
    known: int  # tokens that may be chosen, from 0: a network can have more than its tokenizer


@dataclass(frozen=True)
class Completion:
    """What followed one prompt, and why it ended.

    ``reason``: "eos", a token that ends a row; "stop", a stop string; "complete", the constraint is met and nothing may
    follow; "length", max_tokens; "context", the model can read no further. After a stop string, ``ids`` are the tokens
    that lie wholly before it, and ``text``, which is empty without a ``decode``, is everything before it. The text is
    what follows the prompt's text, with a space in front if there is one between them.
    """

    ids: list[int]
    reason: Reason
    text: str = ""

    def _repr_html_(self) -> str:
        return f"<pre>{escape(self.text)}</pre><small>{escape(self.reason)}, {len(self.ids):,} tokens</small>"


def generate(
    network: Network, prompts: Sequence[Ids], settings: Decoding | None = None, **options: Unpack[Options]
) -> list[list[int]]:
    """The ids that follow each prompt; see ``complete``."""
    return [completion.ids for completion in complete(network, prompts, settings, **options)]


@torch.inference_mode()
def complete(
    network: Network, prompts: Sequence[Ids], settings: Decoding | None = None, **options: Unpack[Options]
) -> list[Completion]:
    """Continue every prompt.

    Row i depends on (seed, i), its prompt and the settings, not on the batch it is computed in: but for the
    rounding of kernels, which can differ with the shape of a batch, the tokens are those that it has alone.
    Without ``eos``, a row ends by a stop string, by its constraint, or at ``max_tokens``. Prompts that are
    empty, that fill the context or that hold unknown tokens raise UsageError.
    """
    rows = _rows(network, prompts, settings or Decoding(), options, text=False)
    with evaluating(network):
        for numbers in batches(prompts, options.get("sources"), options.get("batch", 64)):
            for _ in _run(network, [rows[i] for i in numbers], options.get("known")):
                pass
    return [row.completion(options.get("decode")) for row in rows]


@torch.inference_mode()
def stream(
    network: Network, prompt: Ids, settings: Decoding | None = None, **options: Unpack[Options]
) -> Iterator[int]:
    """The ids that follow one prompt, each as soon as it is certain that no stop string has begun in it."""
    given = 0
    for row in _stream(network, prompt, settings or Decoding(), options, text=False):
        yield from row.ids[given : row.released]
        given = row.released


@torch.inference_mode()
def stream_text(
    network: Network, prompt: Ids, settings: Decoding | None = None, **options: Unpack[Options]
) -> Iterator[str]:
    """The text that follows one prompt, in whole characters and without any part of a stop string."""
    given = 0
    for row in _stream(network, prompt, settings or Decoding(), options, text=True):
        if len(row.text) > given:
            yield row.text[given:]
            given = len(row.text)


def _stream(
    network: Network, prompt: Ids, settings: Decoding, options: Options, *, text: bool
) -> Iterator[_Row]:
    """The one row of ``prompt``, after each token."""
    rows = _rows(network, [prompt], settings, options, text=text)
    with evaluating(network):
        for _ in _run(network, rows, options.get("known")):
            yield rows[0]


class _Row:
    """One text on its way."""

    def __init__(
        self,
        number: int,
        prompt: Ids,
        settings: Decoding,
        *,
        source: Ids | None,
        ends: frozenset[int],
        context: int,
    ) -> None:
        self.number = number
        self.prompt = list(prompt)
        self.source = source
        self.settings = settings
        self.ends = ends
        self.limit = min(settings.max_tokens, context - len(prompt))
        self.bound: Reason = "length" if self.limit == settings.max_tokens else "context"
        self.constraint: Constraint | None = None
        self.allowed = torch.ones(0, dtype=torch.bool)
        self.pieces: Pieces | None = None
        self.ids: list[int] = []
        self.text = ""
        self.reason: Reason | None = None

    @property
    def released(self) -> int:
        """How many of its ids are certain."""
        return len(self.ids) if self.pieces is None else self.pieces.released

    def constrain(self, constraint: Constraint) -> None:
        """Let only tokens follow that ``constraint`` allows."""
        self.constraint, self.allowed = constraint, constraint.mask()
        self.end_if_complete()

    def end_if_complete(self) -> None:
        """End where the constraint lets nothing more follow."""
        if self.constraint is not None and self.constraint.may_end and not self.allowed.any():
            self.end("complete")

    def take(self, token: int) -> None:
        """Add the next token, or end."""
        if token in self.ends:
            self.end("eos")
            return
        self.ids.append(token)
        if self.pieces is not None:
            self.text += self.pieces.add(token)
            if self.pieces.stopped:
                self.end("stop")
                return
        if self.constraint is not None:
            self.constraint.accept(token)
            self.allowed = self.constraint.mask()
            self.end_if_complete()
        if self.reason is None and len(self.ids) == self.limit:
            self.end(self.bound)

    def end(self, reason: Reason) -> None:
        """Nothing follows."""
        self.reason = reason
        if self.pieces is not None:
            self.text += self.pieces.close()
            if self.pieces.stopped:
                self.reason, self.ids = "stop", self.ids[: self.pieces.released]

    def completion(self, decode: Decode | None) -> Completion:
        """The row as its reader sees it."""
        assert self.reason is not None
        if self.pieces is None and decode is not None:
            self.text = continuation(decode, self.prompt, self.ids)
        return Completion(self.ids, self.reason, self.text)


def _rows(
    network: Network, prompts: Sequence[Ids], settings: Decoding, options: Options, *, text: bool
) -> list[_Row]:
    """A row for each prompt, after checking all that was given."""
    eos, decode = options.get("eos"), options.get("decode")
    sources, constraints = options.get("sources"), options.get("constraints")
    check(network, prompts, room=1)
    for name, given in (("sources", sources), ("constraints", constraints)):
        if given is not None and len(given) != len(prompts):
            raise UsageError(f"{len(given)} {name} for {len(prompts)} prompts: give one each")
    check(network, sources or (), room=0, kind="source")
    if decode is None and (settings.stop or text):
        raise UsageError("stop strings and streamed text need decode=, the tokenizer's decode method")
    ends = frozenset(() if eos is None else (eos,) if isinstance(eos, int) else eos)
    rows = []
    for i, prompt in enumerate(prompts):
        source = None if sources is None else sources[i]
        row = _Row(i, prompt, settings, source=source, ends=ends, context=network.config.context)
        if decode is not None and (settings.stop or text):
            row.pieces = Pieces(decode, settings.stop, before=prompt)
        if constraints is not None:
            row.constrain(constraints[i])
        rows.append(row)
    return rows


def _run(network: Network, rows: list[_Row], known: int | None = None) -> Iterator[None]:
    """Take the rows to their ends, all by one token between two yields.

    Rows of unequal length end at different columns of one cache. Where it is full before the shorter ones are, these
    start again without their padding.
    """
    rows = [row for row in rows if row.reason is None]
    known = min(known or network.config.vocabulary, network.config.vocabulary)
    choose = _Chooser(rows, known, network.device)
    while rows:
        texts = [row.prompt + row.ids for row in rows]
        longest, more = max(map(len, texts)), max(row.limit - len(row.ids) for row in rows)
        length = min(longest + more - 1, network.config.context)
        sources = [row.source for row in rows if row.source is not None]
        steps = Steps(network, texts, length, sources or None)
        ids = steps.prompts
        while rows:
            chosen = choose(steps(ids)[:, :known], rows)
            for row, token in zip(rows, chosen.tolist(), strict=True):
                if row.reason is None:
                    row.take(token)
            yield
            left = [i for i, row in enumerate(rows) if row.reason is None]
            if len(left) <= 0.75 * len(rows) or steps.full:  # the finished rows leave, a few at a time
                rows, chosen = [rows[i] for i in left], chosen[left]
                choose.keep(left)
                if steps.full or not rows:
                    break
                steps.keep(left)
            ids = chosen[:, None]


class _Chooser:
    """The next token of every row, by its settings."""

    def __init__(self, rows: Sequence[_Row], vocabulary: int, device: torch.device) -> None:
        self.step = 0
        self.uniform: Tensor | None = None
        self.seen: Tensor | None = None
        if not rows:
            return
        self.settings = rows[0].settings
        if self.settings.temperature:
            most = max(row.limit for row in rows)
            numbers = [distribution.noise(self.settings.seed, row.number, most) for row in rows]
            self.uniform = torch.stack(numbers, dim=1).to(
                "cpu" if device.type == "mps" else device
            )  # no float64
        if self.settings.repetition_penalty != 1:
            self.seen = torch.zeros(len(rows), vocabulary, dtype=torch.bool)
            for seen, row in zip(self.seen, rows, strict=True):
                seen[[token for token in row.prompt if token < vocabulary]] = True
            self.seen = self.seen.to(device)

    def __call__(self, logits: Tensor, rows: Sequence[_Row]) -> Tensor:
        """Logits (n, v), float32 → tokens (n,) int64."""
        if rows[0].constraint is not None:
            logits = logits.masked_fill(~self.allowed(rows, logits.shape[1]).to(logits.device), -math.inf)
        if self.seen is not None:
            logits = distribution.penalize_repetition(logits, self.seen, self.settings.repetition_penalty)
        uniform = self.uniform
        chosen = (
            logits.max(-1).indices if uniform is None else draw(logits, self.settings, uniform[self.step])
        )
        if self.seen is not None:
            self.seen.scatter_(1, chosen[:, None], True)
        self.step += 1
        return chosen

    def keep(self, rows: list[int]) -> None:
        """Forget the other rows."""
        self.uniform = None if self.uniform is None else self.uniform[:, rows]
        self.seen = None if self.seen is None else self.seen[rows]

    @staticmethod
    def allowed(rows: Sequence[_Row], vocabulary: int) -> Tensor:
        """Which tokens may follow: (n, v) bool; every token in a row that has ended."""
        allowed = torch.zeros(len(rows), vocabulary, dtype=torch.bool)
        for mask, row in zip(allowed, rows, strict=True):
            if row.reason is not None or row.constraint is None:
                mask.fill_(True)
                continue
            mask[: len(row.allowed)] = row.allowed[:vocabulary]
            mask[list(row.ends)] = row.constraint.may_end
        return allowed


def draw(logits: Tensor, settings: Decoding, uniform: Tensor) -> Tensor:
    """Logits (n, v), float32, and uniform numbers (n,), float64 → tokens (n,) int64 drawn by the settings."""
    ids = None
    if settings.temperature != 1:
        logits = logits / settings.temperature
    if settings.top_k:
        logits, ids = distribution.keep_top_k(logits, settings.top_k)
    if settings.top_p < 1:
        logits = distribution.keep_top_p(logits, settings.top_p)
    if settings.min_p:
        logits = distribution.keep_min_p(logits, settings.min_p)
    chosen = distribution.pick(logits, uniform)
    return chosen if ids is None else ids.gather(1, chosen[:, None])[:, 0]
