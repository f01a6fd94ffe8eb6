import json
import re
import sys

import pytest
import torch

from decoders import decoder
from luoxia.core.errors import LuoxiaError, MissingExtraError, UsageError
from luoxia.decoding.constraints import Choices, Grammar
from luoxia.decoding.loop import Decoding, complete, generate
from luoxia.media.text.tokenizer import Tokenizer
from luoxia.nn.transformer import Decoder

CORPUS = [
    '{"name":"Li Bai","age":61,"style":"lyric"}',
    '{"name":"杜甫","age":58,"style":"regulated","tags":["verse","war"],"alive":false,"score":-3.5}',
    "yes no maybe perhaps, never; 落霞 0123456789",
] * 3
SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "minLength": 1, "maxLength": 6},
        "age": {"type": "integer", "minimum": 0, "maximum": 120},
        "style": {"enum": ["lyric", "regulated"]},
        "tags": {"type": "array", "items": {"enum": ["verse", "war"]}, "maxItems": 3},
        "alive": {"type": "boolean"},
    },
    "required": ["name", "age", "style", "tags", "alive"],
    "additionalProperties": False,
}


@pytest.fixture(scope="module", params=["byte", "character", "bpe", "unigram"])
def tokenizer(request: pytest.FixtureRequest) -> Tokenizer:
    sizes = {"bpe": 300, "unigram": 340}
    return Tokenizer.train(request.param, CORPUS, sizes.get(request.param))


def network_for(tokenizer: Tokenizer, seed: int = 0, more: int = 0) -> Decoder:
    return decoder(seed, vocabulary=tokenizer.vocabulary + more, spread=0.3, context=400)


def fits(value: dict[str, object]) -> bool:
    return (
        list(value) == list(SCHEMA["properties"])
        and isinstance(value["name"], str)
        and 1 <= len(value["name"]) <= 6
        and type(value["age"]) is int
        and 0 <= value["age"] <= 120
        and value["style"] in ("lyric", "regulated")
        and len(value["tags"]) <= 3
        and set(value["tags"]) <= {"verse", "war"}
        and type(value["alive"]) is bool
    )


@pytest.mark.parametrize("ends", [True, False])
def test_json_of_a_schema_always_parses(tokenizer: Tokenizer, ends: bool) -> None:
    grammar = Grammar.json_schema(SCHEMA, tokenizer)
    n = 12
    completions = complete(
        network_for(tokenizer, 1, more=3),
        [[5, 6]] * n,
        Decoding(390, temperature=2.0, seed=3),
        constraints=[grammar.begin() for _ in range(n)],
        eos=tokenizer.eos if ends else None,
    )
    texts = [b"".join(map(tokenizer.token_bytes, c.ids)).decode() for c in completions]
    assert all(fits(json.loads(text)) for text in texts), texts
    assert {c.reason for c in completions} == {"complete"}
    assert len(set(texts)) > 1


def test_a_row_does_not_feel_the_others_constraints(tokenizer: Tokenizer) -> None:
    grammar = Grammar.json_schema(SCHEMA, tokenizer)
    network, prompts = network_for(tokenizer, 2), [[5], [7, 8, 9], [6, 6]]
    together = generate(network, prompts, Decoding(390), constraints=[grammar.begin() for _ in prompts])
    fresh = [grammar.begin() for _ in prompts]
    assert together == generate(network, prompts, Decoding(390), constraints=fresh, batch=1)


def test_lark_grammars_are_followed(tokenizer: Tokenizer) -> None:
    grammar = Grammar.lark('start: who (", " who)* ";"\nwho: "yes" | "no" | /[0-9]{1,3}/', tokenizer)
    rows = generate(
        network_for(tokenizer, 3),
        [[5]] * 12,
        Decoding(390, seed=1),
        constraints=[grammar.begin() for _ in range(12)],
        eos=tokenizer.eos,
    )
    whole = re.compile(r"(yes|no|\d{1,3})(, (yes|no|\d{1,3}))*;")
    texts = [b"".join(map(tokenizer.token_bytes, ids)).decode() for ids in rows]
    assert all(whole.fullmatch(text) for text in texts if text.endswith(";")), texts
    assert any(text.endswith(";") for text in texts)


def test_a_text_may_end_only_where_it_is_whole() -> None:
    """A network that always wants to end gives the shortest text."""
    tokenizer = Tokenizer.train("byte")
    network = network_for(tokenizer, 4)
    head = network.head
    network.head = lambda x: head(x).index_fill(-1, torch.tensor([tokenizer.eos]), 1e4)
    grammar = Grammar.lark('start: "ab" "c"*', tokenizer)
    (done,) = complete(
        network, [[5]], Decoding(9), constraints=[grammar.begin()], eos=tokenizer.eos, decode=tokenizer.decode
    )
    assert (done.text, done.reason) == ("ab", "eos")


def test_choices_are_all_there_is(tokenizer: Tokenizer) -> None:
    texts = ["yes", "no", "never", "nev", "落霞"]
    choices = Choices(texts, tokenizer)
    n = 300
    rows = generate(
        network_for(tokenizer, 5),
        [[5]] * n,
        Decoding(30, temperature=3.0),
        constraints=[choices.begin() for _ in range(n)],
        eos=tokenizer.eos,
        batch=n,
    )
    found = {b"".join(map(tokenizer.token_bytes, ids)).decode() for ids in rows}
    assert found == set(texts)


def test_choices_enter_no_dead_end() -> None:
    """'a' alone could begin 'ab', which can be spelled only as one token."""
    tokenizer = Pieces(["a", "ab", "c", "bd"])
    choices = Choices(["ab", "ac", "abd"], tokenizer)
    state = choices.begin()
    assert state.mask().tolist() == [True, True, False, False]
    state.accept(0)
    assert state.mask().tolist() == [False, False, True, True]
    state.accept(3)
    assert state.may_end and not state.mask().any()


class Pieces:
    """A tokenizer of a few pieces."""

    unk = None

    def __init__(self, pieces: list[str]) -> None:
        self.pieces, self.vocabulary = pieces, len(pieces)

    def token_bytes(self, token: int) -> bytes:
        return self.pieces[token].encode()

    def encode(self, text: str) -> list[int]:
        return [self.pieces.index(c) for c in text if c in self.pieces]


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ("{not json", "is no JSON"),
        ({"type": "nonsense"}, "cannot be followed"),
        ({"type": "integer", "minimum": 5, "maximum": 3}, "cannot be followed"),
        ({"allOf": [{"type": "string"}, {"type": "integer"}]}, "cannot be followed"),
    ],
)
def test_schemas_that_nothing_meets(schema: object, words: str) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        Grammar.json_schema(schema, Tokenizer.train("byte"))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("grammar", ["start: nobody", "start: (", "", 'start: "a" & "b"'])
def test_grammars_that_are_none(grammar: str) -> None:
    with pytest.raises(UsageError, match="grammar cannot be followed") as caught:
        Grammar.lark(grammar, Tokenizer.train("byte"))
    assert "\n" not in str(caught.value)


def test_a_vocabulary_that_cannot_spell_it() -> None:
    """At the beginning, and on the way."""
    tokenizer = Pieces(["a", "b", "["])
    with pytest.raises(LuoxiaError, match="JSON schema cannot be met: this tokenizer has no token"):
        Grammar.json_schema(SCHEMA, tokenizer)
    state = Grammar.lark('start: "ab" | "bac"', tokenizer).begin()
    assert state.mask().tolist() == [True, True, False]
    with pytest.raises(LuoxiaError, match="grammar cannot be met"):
        for token in (1, 0):
            state.accept(token)
            assert not state.may_end and state.mask().tolist() == [True, False, False]
    with pytest.raises(UsageError, match="'abc' cannot be spelled"):
        Choices(["ab", "abc"], tokenizer)


@pytest.mark.parametrize("texts", [[], ["a", ""], "ab"])
def test_choices_that_are_none(texts: object) -> None:
    with pytest.raises(UsageError, match="choices are a list"):
        Choices(texts, Pieces(["a", "b"]))


def test_an_empty_text_may_be_all_that_is_allowed() -> None:
    grammar = Grammar.lark('start: ""', Tokenizer.train("byte"))
    (done,) = complete(decoder(vocabulary=260), [[5]], Decoding(5), constraints=[grammar.begin()])
    assert (done.ids, done.reason) == ([], "complete")


def test_the_extra_is_named_where_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "llguidance", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'luoxia\[text\]'"):
        Grammar.lark("start: /a/", Tokenizer.train("byte"))
