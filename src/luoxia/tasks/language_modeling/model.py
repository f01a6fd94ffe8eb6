"""A trained language model, ready to write."""

from __future__ import annotations

import copy
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from luoxia.core.config import checked, refuse_unknown
from luoxia.core.errors import LuoxiaError, UsageError
from luoxia.core.sentences import nearest
from luoxia.decoding.constraints import Constraint
from luoxia.decoding.loop import Completion, Decoding, complete, stream_text
from luoxia.media.text.chat import PLAIN, ChatTemplate, Message, messages_of
from luoxia.media.text.chats import chat_ids
from luoxia.media.text.conditions import condition_prompt
from luoxia.media.text.tokenizer import Tokenizer
from luoxia.nn.int8 import quantize
from luoxia.nn.packed import pack, packable
from luoxia.nn.transformer import Decoder
from luoxia.tasks.language_modeling.rules import Rule, open_rule
from luoxia.tasks.language_modeling.settings import DECODING, RULES, TextSettings
from luoxia.tasks.shared.token_model import TokenModel

Condition = Mapping[str, str]


class TextGenerator(TokenModel[Decoder]):
    """A decoder that writes. ``condition`` names the fields that tell it what; it has learned to do without them too.

    ``ends`` are the tokens that end a text; by default the tokenizer's own. ``chat`` is how it writes chats.

    >>> import luoxia
    >>> from pathlib import Path
    >>> _ = Path("novel.txt").write_text("The cat sat on the mat. " * 200)
    >>> tiny = {"context": 16, "layers": 1, "heads": 1, "width": 8, "batch": 2, "steps": 2, "score_samples": 0}
    >>> run = luoxia.train("gpt", data="novel.txt", tokenizer="byte", **tiny, quiet=True)
    >>> model = luoxia.load(run)
    >>> texts = model.sample(2, seed=0, prompt="The", max_tokens=5)
    >>> "".join(model.stream("The", seed=0, max_tokens=5)) == texts[0]
    True
    """

    def __init__(
        self,
        network: Decoder,
        tokenizer: Tokenizer | None,
        *,
        condition: Sequence[str] = (),
        ends: Collection[int] = (),
        chat: ChatTemplate = PLAIN,
        **common: Any,
    ) -> None:
        super().__init__(network, tokenizer, **common)
        self.condition = tuple(condition)
        self.chat = chat
        own = None if tokenizer is None else tokenizer.eos
        self.ends = frozenset(ends or (() if own is None else (own,)))

    @torch.inference_mode()
    def logits(self, ids: Any) -> Tensor:
        """Ids (batch, length), a tensor or lists → logits (batch, length, vocabulary), float32.

        ``UsageError`` for rows of unequal length, for more tokens than the context, and for unknown ones.
        """
        logits: Tensor = self.network(self.rows_of(ids))
        return logits.float()

    @checked(TextSettings, "n", "seed", "prompt")
    def sample(self, n: int = 1, seed: int = 0, **asked: Any) -> list[str]:
        """N texts that continue a prompt, which they leave out; text i is a function of (seed, i).

        ``asked`` is that of ``completions``.
        """
        return [completion.text for completion in self.completions(n, seed, **asked)]

    @checked(TextSettings, "n", "seed", "prompt")
    def completions(
        self,
        n: int = 1,
        seed: int = 0,
        *,
        prompt: str = "",
        messages: Sequence[Message] | None = None,
        condition: Condition | Sequence[Condition] | None = None,
        constraint: Rule | None = None,
        decoding: Decoding | None = None,
        **keys: Any,
    ) -> list[Completion]:
        """The same, with the tokens and the reason why each ended.

        Args:
            n: texts.
            seed: of the texts, all of them.
            prompt: how each text begins.
            messages: a chat that each text answers, in place of ``prompt``: [{"role": "user", "content": "Hello"}].
            condition: what the fields in ``self.condition`` say of all texts, or of each; any may be left out.
            constraint: what each text keeps to: a ``Poem``, ``Grammar`` or ``Choices``, or what ``rule`` gives.
            decoding: how tokens are chosen.
            keys: the same one by one, as on the command line: ``max_tokens``, ``temperature``, ``top_k``, ``top_p``,
                ``min_p``, ``repetition_penalty``, ``stop``; or, in place of ``constraint``, what ``rule`` takes.

        Raises:
            UsageError: a key is unknown or its value wrong; the prompt or the condition does not suit the model.
            LuoxiaError: the constraint cannot be met, or not within ``max_tokens`` or the context.
        """
        decoding, constraint = self._asked(decoding, constraint, seed, keys)
        each = [condition] * n if condition is None or isinstance(condition, Mapping) else list(condition)
        if len(each) != n:
            raise UsageError(f"{len(each)} conditions for n={n} texts: give one for all, or one for each")
        if messages is None:
            prompts = [self.prompt_ids(prompt, condition_of_text) for condition_of_text in each]
        else:
            prompts = [self._reply_ids(messages, prompt, condition)] * n
            decoding = self._until_reply_ends(decoding)
        rows = None if constraint is None else [constraint.begin(prompt) for _ in prompts]
        completions = complete(
            self.network, prompts, decoding,
            constraints=rows, **self._tokens(),
        )  # fmt: skip
        for number, row in enumerate(rows or ()):
            _check_whole(row, completions[number].reason == "stop", number)
        return completions

    @checked(TextSettings, "seed", "prompt")
    def stream(
        self,
        prompt: str = "",
        seed: int = 0,
        *,
        messages: Sequence[Message] | None = None,
        condition: Condition | None = None,
        constraint: Rule | None = None,
        decoding: Decoding | None = None,
        **keys: Any,
    ) -> Iterator[str]:
        """The first of these texts, piece by piece as it is written."""
        decoding, constraint = self._asked(decoding, constraint, seed, keys)
        if messages is None:
            ids = self.prompt_ids(prompt, condition)
        else:
            ids, decoding = self._reply_ids(messages, prompt, condition), self._until_reply_ends(decoding)
        row = None if constraint is None else constraint.begin(prompt)
        yield from stream_text(
            self.network, ids, decoding,
            constraints=None if row is None else [row], **self._tokens(),
        )  # fmt: skip
        if row is not None:
            _check_whole(row, bool(decoding.stop), 0)

    def _asked(
        self, decoding: Decoding | None, constraint: Rule | None, seed: int, keys: Mapping[str, Any]
    ) -> tuple[Decoding, Rule | None]:
        """How tokens are chosen and what the text keeps to, with what single keys of the command line say of both."""
        for name in self.condition:
            if name in keys:
                raise UsageError(f"'{name}' is a field of the condition: write condition={{'{name}': ...}}")
        refuse_unknown(keys, ("prompt", "messages", "condition", "constraint", "decoding", *DECODING, *RULES))
        chosen: TextSettings = TextSettings.from_settings(keys)
        named = {name: getattr(chosen, name) for name in DECODING if name in keys}
        if any(name in keys for name in RULES):
            if constraint is not None:
                raise UsageError("constraint= is given already: leave out poem=, schema= and grammar=")
            constraint = self.rule(
                poem=chosen.poem, readings=chosen.readings, schema=chosen.schema_, grammar=chosen.grammar
            )
        return replace(decoding or Decoding(), seed=seed, **named), constraint

    def _tokens(self) -> dict[str, Any]:
        """What decoding must know of the tokenizer."""
        tokenizer = self.tokenizer
        known = range(tokenizer.vocabulary)
        return {
            "eos": [end for end in self.ends if end in known],
            "decode": tokenizer.decode,
            "known": len(known),
        }

    def lighten(self, *, bf16: bool = False, int8: bool = False) -> TextGenerator:
        """A copy with shorter weights: bfloat16 for half the bytes, 8-bit matrices for a quarter."""
        return TextGenerator(
            copy.deepcopy(self.network), self._tokenizer, condition=self.condition, ends=self.ends,
            details=self.details, device=self.device,
            dtype=torch.bfloat16 if bf16 else None, quantize="int8" if int8 else None,
        )  # fmt: skip

    @staticmethod
    def lightened(network: Decoder, dtype: torch.dtype | None, quantize: str | None) -> Decoder:
        """The network in bfloat16, with 8-bit matrices, or both; in place."""
        return lighten(network, bf16=dtype == torch.bfloat16, int8=quantize == "int8")

    def rule(self, **named: Any) -> Rule | None:
        """What texts are to keep to: ``poem="七言"``, ``schema=FILE`` or ``grammar=FILE``; see ``open_rule``."""
        return open_rule(self.tokenizer, **named)

    def prompt_ids(self, prompt: str = "", condition: Condition | None = None) -> list[int]:
        """The tokens of a condition and a prompt; without either, the mark that a text begins after.

        Raises:
            UsageError: it has no such field, or holds a character that the model has never seen.
        """
        for name in condition or ():
            if name not in self.condition:
                raise UsageError(unknown_field(name, self.condition))
        stated = {name: str((condition or {})[name]) for name in self.condition if name in (condition or {})}
        before = condition_prompt(self.tokenizer, stated) if self.condition else self.tokenizer.prefix
        ids = [*before, *self.tokenizer.encode(prompt)]
        if self.tokenizer.unk is not None and self.tokenizer.unk in ids:
            self._refuse_unseen({"prompt": prompt, **stated})
        return ids or [self.tokenizer.eos or 0]

    def _reply_ids(self, messages: Sequence[Message], prompt: str, condition: object) -> list[int]:
        """The tokens of a chat, up to where the answer begins."""
        if prompt or condition:
            raise UsageError("messages= is a chat to answer: give it without prompt= and without a condition")
        try:
            text = self.chat.render(messages_of(messages), reply=True)
        except ValueError as reason:
            raise UsageError(f"messages= holds {reason}") from reason
        ids = chat_ids(self.tokenizer, text, self.chat.source is not None)
        if self.tokenizer.unk is not None and self.tokenizer.unk in ids:
            self._refuse_unseen({"messages": text})
        return ids

    def _until_reply_ends(self, decoding: Decoding) -> Decoding:
        return replace(decoding, stop=(*decoding.stop, *self.chat.stop))

    def _refuse_unseen(self, said: Mapping[str, str]) -> None:
        """Say which character of what was said is in no text that the model has learned from."""
        for key, text in said.items():
            for character in text:
                if self.tokenizer.unk in self.tokenizer.encode(character):
                    raise UsageError(
                        f"{key}={text} holds '{character}', which is not in the model's vocabulary: leave it out"
                    )


def lighten(network: Decoder, *, bf16: bool = False, int8: bool = False) -> Decoder:
    """Shorten the weights of a network that is only sampled, in place: bfloat16, 8-bit matrices, or both."""
    if bf16 and not int8 and packable(network.device):
        pack(network)
    elif bf16:
        network.bfloat16()
    if int8:
        quantize(network, head=True)
    return network


def unknown_field(name: str, known: Sequence[str]) -> str:
    """What is said of a field that a model does not know."""
    if not known:
        return f"unknown field '{name}': this model was trained without condition="
    return f"unknown field '{name}'{nearest(name, known) or '; this model knows ' + ', '.join(known)}"


def _check_whole(row: Constraint, stopped: bool, number: int) -> None:
    if not row.may_end and not stopped:
        raise LuoxiaError(
            f"text {number} came to its last token before it met the constraint: raise max_tokens, or ask for less"
        )
