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
    """A word that a verb takes before its keys.

    ``opens`` (MODULE:FUNCTION in luoxia) opens what it names before all else. ``either``: it may be a text, or the name
    of a file. ``metavar`` stands for it in the help, its name if unset.
    """

    name: str
    help: str
    optional: bool = False
    opens: str = ""
    either: bool = False
    metavar: str = ""


ASK = "verbs.ask:ask"
"""The call behind the verbs that ask a model; it takes the verb's name first."""


@dataclass(frozen=True)
class Verb:
    """One verb.

    ``call`` and ``plan`` (what ``--dry-run`` calls instead) are MODULE:FUNCTION in luoxia, imported when work starts;
    they take the words and then the keys. Most verbs ask a model's task, which has a capability of that name; so a row
    of its own is all that another such verb needs. ``show`` prints a result, ``as_json`` makes one JSON object of it.
    ``settings`` names the class (MODULE:CLASS) whose keys ``--help`` lists, of a verb that asks no task;
    ``keys=False``: it takes none.
    """

    name: str
    help: str
    words: tuple[Word, ...]
    call: str = ASK
    show: Callable[[Any], None] = printing.print_result
    as_json: Callable[[Any], Any] = printing.result_as_json
    settings: str = ""
    plan: str = ""
    epilog: str | None = None
    keys: bool = True

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


def _model(meaning: str, name: str = "run") -> Word:
    """The word of a trained model."""
    return Word(name, meaning, opens="tasks.record:ModelRecord.open")


_TRAINED: dict[str, Any] = {"show": printing.print_run, "as_json": printing.outcome}
_FACTS: dict[str, Any] = {"show": printing.print_pairs, "as_json": dict}

VERBS = (
    Verb(
        "train",
        "Train a model: luoxia train dcgan data=photos/ size=64 budget=10m.",
        (Word("recipe", "A name from `luoxia recipes`, or FILE.py:CLASS."),),
        call="verbs.train:train",
        plan="verbs.train:plan",
        epilog="A recipe's keys: luoxia train NAME --help. Presets: luoxia recipes NAME",
        **_TRAINED,
    ),
    Verb(
        "resume",
        "Continue a run, bit for bit: luoxia resume runs/dcgan-1 steps=20000.",
        (Word("run", "A run's folder.", opens="runs.run:Run.open"),),
        call="verbs.train:resume",
        epilog="Keys: steps, budget, data, against, device, compile, keep_checkpoints and those that end in _every.",
        **_TRAINED,
    ),
    Verb(
        "finetune",
        "Train on other data, starting from the weights of a trained model: "
        "luoxia finetune runs/gpt-1 data=letters/ lora=8 | runs/dcgan-1 data=photos/ freeze_d=2.",
        (_model("A run, a model folder, or a Hugging Face folder.", "model"),),
        call="verbs.train:finetune",
        plan="verbs.train:plan_finetune",
        epilog="Keys: those of the recipe, such as lora=8 or freeze_d=2; luoxia recipes NAME",
        **_TRAINED,
    ),
    Verb(
        "export",
        "Export a model to other toolkits: luoxia export runs/gpt-1 out=FOLDER | runs/dcgan-1 out=FILE.onnx.",
        (_model("The run of a language model, image generator or image translator, or its model folder."),),
    ),
    Verb(
        "sample",
        "Generate: luoxia sample runs/dcgan-1 n=64 seed=1 out=grid.png | folder/ | samples.npz.",
        (_model("A run's folder, or a model folder."),),
    ),
    Verb(
        "interpolate",
        "Walk through latents: luoxia interpolate runs/dcgan-1 seeds=1,2,3 out=walk.mp4 | walk.gif.",
        (_model("An image generator's run, or its model folder."),),
    ),
    Verb(
        "mix",
        "Mix styles: luoxia mix runs/stylegan2-1 rows=1,2,3 columns=4,5,6 layers=coarse out=grid.png.",
        (_model("The run of a generator with styles, or its model folder."),),
    ),
    Verb(
        "project",
        "Find the latent of an image: luoxia project runs/dcgan-1 photo.jpg out=photo.npz.",
        (
            _model("An image generator's run, or its model folder."),
            Word("file", "An image file; its center is cropped to the generator's shape."),
        ),
    ),
    Verb(
        "directions",
        "Find the latent directions that change images most: luoxia directions runs/dcgan-1 n=8 out=directions.npz.",
        (_model("An image generator's run, or its model folder."),),
    ),
    Verb(
        "edit",
        "Paint a part of a file: luoxia edit RUN photo.png mask=mask.png out=edited.png.",
        (
            _model("The run of a model that edits, or its model folder."),
            Word("file", "The file to edit; it is not changed."),
        ),
    ),
    Verb(
        "translate",
        'Translate: luoxia translate runs/translate-1 "A man is walking." | lines.en out=lines.de; '
        "images: luoxia translate runs/cyclegan-1 photos/ out=translated/ direction=a2b.",
        (
            _model("A translator's run, or its model folder."),
            Word(
                "what",
                "A text, or a file to translate line by line; an image, or a folder or zip of images.",
                either=True,
                metavar="TEXT|FILE|FOLDER",
            ),
        ),
    ),
    Verb(
        "classify",
        "Classify texts: "
        'luoxia classify runs/classify-text-1 "A text." | texts.txt out=FILE.jsonl | FILE.csv.',
        (
            _model("A text classifier's run, or its model folder."),
            Word(
                "what", "A text, or a file with one text per line or row.", either=True, metavar="TEXT|FILE"
            ),
        ),
    ),
    Verb(
        "embed",
        "Embed texts, or compare two: "
        'luoxia embed runs/embed-text-1 texts.txt out=FILE.npy | "One." against="Another".',
        (
            _model("A text embedder's run, or its model folder."),
            Word(
                "what", "A text, or a file with one text per line or row.", either=True, metavar="TEXT|FILE"
            ),
        ),
    ),
    Verb(
        "encode",
        "Turn files into tokens: luoxia encode runs/image-codec-1 photos/ out=tokens.npz | out=FOLDER/.",
        (
            _model("A codec's run, or its model folder."),
            Word("path", "A file of the medium it was trained on, or a folder or zip of such files."),
        ),
    ),
    Verb(
        "decode",
        "Turn tokens back into files: luoxia decode runs/image-codec-1 tokens.npz | FOLDER/ out=FOLDER/.",
        (
            _model("The run of the codec that encoded them, or its model folder."),
            Word("path", "What encode wrote: FILE.npz, FILE.tok or a folder."),
        ),
    ),
    Verb(
        "measure",
        "Score a run, or any images or sounds: luoxia measure RUN | luoxia measure data=A against=B.",
        (Word("run", "A run's folder.", optional=True, opens="verbs.request:open_scored"),),
        call="verbs.measure:measured",
        show=printing.print_scores,
        as_json=lambda measurement: measurement.as_dict(),
    ),
    Verb(
        "recipes",
        "List the recipes, or one recipe's keys with their defaults.",
        (Word("name", "Show this recipe's keys.", optional=True),),
        call="tasks.menu:menu",
        show=help.print_recipes,
        as_json=printing.recipes_as_json,
        keys=False,
    ),
    Verb(
        "data",
        "Show what would be read from a path: luoxia data photos/ size=64.",
        (
            Word(
                "path",
                "Images, sounds or text: a folder or a file. Default: the embedded digits.",
                optional=True,
            ),
        ),
        call="verbs.data:describe",
        **_FACTS,
    ),
    Verb(
        "inspect",
        "Show the label of a generated file, or what a run is: luoxia inspect grid.png | samples/ | runs/dcgan-1.",
        (Word("path", "A file, a folder of files, a run, or a model folder."),),
        call="verbs.inspect:inspect",
        show=printing.print_inspection,
        as_json=lambda inspection: inspection.as_dict(),
        keys=False,
    ),
    Verb(
        "cache",
        "Show what the cache holds, or make room in it: luoxia cache | cache clear | cache limit=20G.",
        (Word("action", "clear: remove every entry.", optional=True),),
        call="verbs.cache:manage",
        settings="verbs.settings:CacheSettings",
        **_FACTS,
    ),
)
"""In the order in which ``--help`` lists them."""
