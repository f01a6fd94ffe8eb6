"""The verbs of the command line, a table: the words of each, the call behind it, how its result is printed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from luoxia import registry
from luoxia.cli import help, printing


@dataclass(frozen=True)
class Word:
    """A word that a verb takes before its keys."""

    name: str
    help: str
    optional: bool = False


@dataclass(frozen=True)
class Verb:
    """One verb.

    ``call`` and ``plan`` (what ``--dry-run`` calls instead) are MODULE:FUNCTION in luoxia, imported when work starts;
    they take the words and then the keys. A path that they return is printed as it is, any other result by ``show``,
    or as what ``as_json`` makes of it. ``settings`` names the class (MODULE:CLASS) whose keys ``--help``
    lists, of a verb that asks no task; ``keys=False``: it takes none.
    """

    name: str
    help: str
    call: str
    words: tuple[Word, ...]
    show: Callable[[Any], None]
    as_json: Callable[[Any], Any]
    settings: str = ""
    plan: str = ""
    epilog: str | None = None
    keys: bool = True

    @property
    def check(self) -> str:
        """What opens its first word before all else, where that is a run or a model; MODULE:FUNCTION, or ""."""
        if self.words[0].name not in ("run", "model"):
            return ""
        opens = {"resume": "runs.run:Run.open", "measure": "verbs.request:open_scored"}
        return opens.get(self.name, "tasks.record:ModelRecord.open")

    def key_classes(self) -> list[Any]:
        """The classes whose keys it takes: its own, or those of every task, or medium, that can be asked."""
        if self.settings:
            module, _, name = self.settings.partition(":")
            return [getattr(import_module(f"luoxia.{module}"), name)]
        if self.name == "data":
            return [medium.keys for medium in registry.media() if medium.keys.model_fields]
        return [
            task.capabilities[self.name].keys for task in registry.tasks() if self.name in task.capabilities
        ]


def _texts(made: Any) -> dict[str, Any]:
    """Several texts, or one in pieces, which is ``text`` too."""
    if isinstance(made, list):
        return {"texts": made}
    text = "".join(made)
    return {"text": text, "texts": [text]}


_TRAINED: dict[str, Any] = {"show": printing.print_run, "as_json": printing.outcome}
_WRITTEN: dict[str, Any] = {"show": printing.print_pairs, "as_json": dict}  # a path, or facts
_SAID: dict[str, Any] = {"show": printing.print_stream, "as_json": _texts}

VERBS = (
    Verb(
        "train",
        "Train a model: luoxia train dcgan data=photos/ size=64 budget=10m.",
        "verbs.train:train",
        (Word("recipe", "A name from `luoxia recipes`, or FILE.py:CLASS."),),
        plan="verbs.train:plan",
        epilog="A recipe's keys: luoxia train NAME --help. Presets: luoxia recipes NAME",
        **_TRAINED,
    ),
    Verb(
        "resume",
        "Go on with a run, bit for bit: luoxia resume runs/dcgan-1 steps=20000.",
        "verbs.train:resume",
        (Word("run", "A run's folder."),),
        epilog="Keys: steps, budget, data, against, device, compile, keep_checkpoints and those that end in _every.",
        **_TRAINED,
    ),
    Verb(
        "finetune",
        "Train on other data, beginning with the weights of a trained model: "
        "luoxia finetune runs/gpt-1 data=letters/ lora=8 | runs/dcgan-1 data=photos/ freeze_d=2.",
        "verbs.train:finetune",
        (Word("model", "A run, a model folder, or a Hugging Face folder."),),
        plan="verbs.train:plan_finetune",
        epilog="Keys: those of the recipe, such as lora=8 or freeze_d=2; luoxia recipes NAME",
        **_TRAINED,
    ),
    Verb(
        "export",
        "Write a model for other toolkits: luoxia export runs/gpt-1 out=FOLDER | runs/dcgan-1 out=FILE.onnx.",
        "verbs.ask:export",
        (Word("run", "The run of a language model or an image generator, or its model folder."),),
        **_WRITTEN,
    ),
    Verb(
        "sample",
        "Generate: luoxia sample runs/dcgan-1 n=64 seed=1 out=grid.png | folder/ | samples.npz | walk.gif.",
        "verbs.ask:sample",
        (Word("run", "A run's folder, or a model folder."),),
        **_SAID,
    ),
    Verb(
        "interpolate",
        "Walk through latents: luoxia interpolate runs/dcgan-1 seeds=1,2,3 out=walk.mp4 | walk.gif.",
        "verbs.ask:interpolate",
        (Word("run", "An image generator's run, or its model folder."),),
        **_WRITTEN,
    ),
    Verb(
        "mix",
        "Mix styles: luoxia mix runs/stylegan2-1 rows=1,2,3 columns=4,5,6 layers=coarse out=grid.png.",
        "verbs.ask:mix",
        (Word("run", "The run of a generator with styles, or its model folder."),),
        **_WRITTEN,
    ),
    Verb(
        "project",
        "Find the latent of an image: luoxia project runs/dcgan-1 photo.jpg out=photo.npz.",
        "verbs.ask:project",
        (
            Word("run", "An image generator's run, or its model folder."),
            Word("file", "An image file; its middle is cut to the generator's shape."),
        ),
        **_WRITTEN,
    ),
    Verb(
        "directions",
        "Find what a generator can be steered by: luoxia directions runs/dcgan-1 n=8 out=directions.npz.",
        "verbs.ask:directions",
        (Word("run", "An image generator's run, or its model folder."),),
        **_WRITTEN,
    ),
    Verb(
        "edit",
        "Paint a part of a file: luoxia edit RUN photo.png mask=mask.png out=edited.png.",
        "verbs.ask:edit",
        (
            Word("run", "The run of a model that edits, or its model folder."),
            Word("file", "The file that is edited; it stays as it is."),
        ),
        **_WRITTEN,
    ),
    Verb(
        "translate",
        'Translate: luoxia translate runs/translate-1 "A man is walking." | lines.en out=lines.de; '
        "images: luoxia translate runs/cyclegan-1 photos/ out=translated/ direction=a2b.",
        "verbs.ask:translate_word",
        (
            Word("run", "A translator's run, or its model folder."),
            Word(
                "what", "A text, or a file to translate line by line; an image, or a folder or zip of them."
            ),
        ),
        show=printing.print_translation,
        as_json=printing.translation_as_json,
    ),
    Verb(
        "classify",
        "Say the class of texts: "
        'luoxia classify runs/classify-text-1 "A text." | texts.txt out=FILE.jsonl | FILE.csv.',
        "verbs.ask:classify_word",
        (
            Word("run", "A text classifier's run, or its model folder."),
            Word("what", "A text, or a file with one text per line or row."),
        ),
        show=printing.print_classes,
        as_json=lambda rows: {"texts": rows},
    ),
    Verb(
        "embed",
        "Embed texts, or compare two: "
        'luoxia embed runs/embed-text-1 texts.txt out=FILE.npy | "One." against="Another".',
        "verbs.ask:embed_word",
        (
            Word("run", "A text embedder's run, or its model folder."),
            Word("what", "A text, or a file with one text per line or row."),
        ),
        show=printing.print_cosines,
        as_json=lambda cosines: {"similarity": cosines},
    ),
    Verb(
        "measure",
        "Score a run, or any images: luoxia measure RUN | luoxia measure data=A against=B.",
        "verbs.measure:measured",
        (Word("run", "A run's folder.", optional=True),),
        show=printing.print_scores,
        as_json=lambda measurement: measurement.as_dict(),
    ),
    Verb(
        "recipes",
        "List the recipes, or one recipe's keys with their defaults.",
        "tasks.menu:menu",
        (Word("name", "Show this recipe's keys.", optional=True),),
        show=help.print_recipes,
        as_json=printing.recipes_as_json,
        keys=False,
    ),
    Verb(
        "data",
        "Say what would be read from a path: luoxia data photos/ size=64.",
        "verbs.data:describe",
        (
            Word(
                "path", "Images or text: a folder or a file; the embedded digits if left out.", optional=True
            ),
        ),
        show=printing.print_pairs,
        as_json=dict,
    ),
    Verb(
        "inspect",
        "Show the label of a generated file, or what a run is: luoxia inspect grid.png | samples/ | runs/dcgan-1.",
        "verbs.inspect:inspect",
        (Word("path", "A file, a folder of files, a run, or a model folder."),),
        show=printing.print_inspection,
        as_json=lambda inspection: inspection.as_dict(),
        keys=False,
    ),
    Verb(
        "cache",
        "Show what the cache holds, or make room in it: luoxia cache | cache clear | cache limit=20G.",
        "verbs.cache:manage",
        (Word("action", "clear: remove every entry.", optional=True),),
        settings="verbs.settings:CacheSettings",
        show=printing.print_pairs,
        as_json=dict,
    ),
)
"""In the order in which ``--help`` lists them."""
