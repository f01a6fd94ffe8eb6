"""Beam search: the likeliest texts, found by following several at once."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

from luoxia.core.errors import UsageError
from luoxia.decoding.steps import Ids, Network, Steps, batches, check, evaluating


@dataclass(frozen=True)
class Beams:
    """How many texts are followed, how long they may be, and how their lengths are compared."""

    beams: int = 5
    max_tokens: int = 128  # the token that ends a text counted
    length_penalty: Literal["gnmt", "average"] = "gnmt"
    alpha: float = 0.6  # 0 = none; a value for one penalty means something else for the other
    best: int = 1  # texts returned for each prompt

    def __post_init__(self) -> None:
        """Check every value."""
        for name, right, wanted in (
            ("beams", self.beams >= 1, "1 or more"),
            ("max_tokens", self.max_tokens >= 1, "1 or more"),
            ("length_penalty", self.length_penalty in ("gnmt", "average"), "gnmt or average"),
            ("alpha", math.isfinite(self.alpha), "a finite number"),
            ("best", 1 <= self.best <= self.beams, f"1 to {self.beams}, the number of beams"),
        ):
            if not right:
                raise UsageError(f"{name}={getattr(self, name)!r} is invalid: must be {wanted}")

    def penalty(self, tokens: int) -> float:
        """What the log-probability of so many tokens is divided by.

        ``gnmt``: ((5 + n) / 6)^α (Wu et al. 2016, arXiv:1609.08144, eq. 14); ``average``: n^α, of which α = 1 is the
        mean log-probability of a token.
        """
        base = (5 + tokens) / 6 if self.length_penalty == "gnmt" else float(tokens)
        return float(base**self.alpha)


@dataclass(frozen=True)
class Hypothesis:
    """A text with its log-probability, and that divided by the length penalty. ``ids`` are without the end's token."""

    ids: list[int]
    log_probability: float
    score: float
    ended: bool  # False where max_tokens or the context cut it


@torch.inference_mode()
def beam_search(
    network: Network,
    prompts: Sequence[Ids],
    settings: Beams | None = None,
    *,
    eos: int | Collection[int],
    sources: Sequence[Ids] | None = None,
    batch: int = 32,
) -> list[list[Hypothesis]]:
    """The ``best`` continuations of each prompt, or translations of each source, best first.

    A search ends when none of the texts that are still open can overtake the ``best`` that have ended, whatever
    follows them, so that no score is missed for stopping early. ``batch``: prompts searched together, if they are
    equally long.
    """
    settings = settings or Beams()
    check(network, prompts, room=1)
    check(network, sources or (), room=0, kind="source")
    if sources is not None and len(sources) != len(prompts):
        raise UsageError(f"{len(sources)} sources for {len(prompts)} prompts: give one each")
    ends = frozenset((eos,) if isinstance(eos, int) else eos)
    if not ends or min(ends) < 0 or max(ends) >= network.config.vocabulary:
        raise UsageError("beam search needs eos=, a token of the model's vocabulary that ends a text")
    searches = [_Search(list(prompt), settings, ends, network.config.context) for prompt in prompts]
    with evaluating(network):
        for numbers in batches(prompts, sources, batch, equal=True):
            part = None if sources is None else [sources[i] for i in numbers]
            some = [searches[i] for i in numbers]
            length = len(some[0].prompt) + some[0].limit - 1
            _run(some, Steps(network, [search.prompt for search in some], length, part), settings.beams)
    return [search.ended for search in searches]


@dataclass
class _Beam:
    """An open text: its tokens and the sum of their log-probabilities."""

    ids: list[int]
    total: float


@dataclass
class _Search:
    """The search for one prompt."""

    prompt: list[int]
    settings: Beams
    ends: frozenset[int]
    context: int
    ended: list[Hypothesis] = field(default_factory=list)
    open: list[_Beam] = field(default_factory=list)

    @property
    def limit(self) -> int:
        """Tokens that may follow the prompt."""
        return min(self.settings.max_tokens, self.context - len(self.prompt))

    def extend(self, totals: Sequence[float], parents: Sequence[int], tokens: Sequence[int]) -> list[int]:
        """Take the candidates, best first, of which there are enough; returns the rows that the open texts go on."""
        before, self.open, rows = self.open or [_Beam([], 0.0)], [], []
        for rank, (total, parent, token) in enumerate(zip(totals, parents, tokens, strict=True)):
            if total == -math.inf or len(self.open) == self.settings.beams:
                break
            ids = before[parent].ids
            if token not in self.ends:
                self.open.append(_Beam([*ids, token], total))
                rows.append(parent)
            elif rank < self.settings.beams:  # an end counts where the text itself would have been kept
                self.finish(ids, total, len(ids) + 1, ended=True)
        return rows

    def finish(self, ids: list[int], total: float, tokens: int, *, ended: bool) -> None:
        """A text is whole, or cut."""
        self.ended.append(Hypothesis(ids, total, total / self.settings.penalty(tokens), ended))
        self.ended.sort(key=lambda hypothesis: -hypothesis.score)
        del self.ended[self.settings.best :]

    @property
    def done(self) -> bool:
        """Whether nothing that is open can be among the best any more; cuts what has reached its limit."""
        if self.open and len(self.open[0].ids) == self.limit:
            for beam in self.open:
                self.finish(beam.ids, beam.total, self.limit, ended=False)
            self.open = []
        if not self.open:
            return True
        if len(self.ended) < self.settings.best:
            return False
        # A total only falls, so that it is best divided by the largest penalty to come, which is at one of the ends.
        tokens = len(self.open[0].ids)
        largest = max(self.settings.penalty(tokens + 1), self.settings.penalty(self.limit))
        return self.open[0].total / largest <= self.ended[-1].score


def _run(searches: list[_Search], steps: Steps, beams: int) -> None:
    """Take all searches of a batch to their ends.

    From the second token on, each search has ``beams`` rows; those that have fewer open texts are filled up with
    impossible ones.
    """
    ids, totals = steps.prompts, [[0.0] for _ in searches]
    many = beams * (1 + len(searches[0].ends))  # enough to continue, even if all the ends come first
    while True:
        width = len(totals[0])
        values, parents, tokens = _candidates(steps(ids), torch.tensor(totals), many)
        rows: list[int] = []
        left: list[_Search] = []
        for i, search in enumerate(searches):
            kept = search.extend(values[i], parents[i], tokens[i])
            if not search.done:
                left.append(search)
                rows += [i * width + parent for parent in kept + [0] * (beams - len(kept))]
        if not left:
            return
        if rows != list(range(len(searches) * width)):
            steps.keep(rows)
        searches = left
        missing = [beams - len(search.open) for search in searches]
        pairs = list(zip(searches, missing, strict=True))
        totals = [[beam.total for beam in search.open] + [-math.inf] * gap for search, gap in pairs]
        last = [[beam.ids[-1] for beam in search.open] + [0] * gap for search, gap in pairs]
        ids = torch.tensor(last, device=ids.device).view(-1, 1)


def _candidates(
    logits: Tensor, totals: Tensor, many: int
) -> tuple[list[list[float]], list[list[int]], list[list[int]]]:
    """The best continuations of each search, best first.

    Logits (n · w, v) of the next token and log-probabilities (n, w) so far → for each search the log-probabilities,
    the rows (0 to w - 1) they continue, and their last tokens.
    """
    vocabulary = logits.shape[1]
    sums = totals.to(logits.device)[:, :, None] + logits.log_softmax(-1).view(*totals.shape, -1)
    values, index = sums.flatten(1).topk(min(many, sums[0].numel()))
    return values.tolist(), (index // vocabulary).tolist(), (index % vocabulary).tolist()
