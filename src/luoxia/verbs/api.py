"""The calls behind the verbs: train, resume, load, plan."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from luoxia.core.config import as_words, flatten, known_keys, named_path, nest
from luoxia.core.errors import LuoxiaError, ToldElsewhereError, UsageError, told_once
from luoxia.core.skips import in_words
from luoxia.runs.display import Display
from luoxia.runs.folder import is_foreign, kind_of, model_folder
from luoxia.runs.run import Run
from luoxia.runs.trackers import check_installed
from luoxia.tasks.exporting import export_huggingface, export_images
from luoxia.tasks.image_generation.sweep import settled_by_trial
from luoxia.tasks.image_generation.training import ImageSession
from luoxia.tasks.image_translation.training import UnpairedSession
from luoxia.tasks.language_modeling.base_model import load_foreign, refuse_adapter
from luoxia.tasks.menu import Recipe, configure
from luoxia.tasks.sessions import SESSIONS, Session, session_of
from luoxia.tasks.stored import Stored, no_larger_than, usable
from luoxia.training.checkpoint import load_latest
from luoxia.training.distributed import World, join_world, leave_world
from luoxia.training.hardware import choose_device
from luoxia.training.session import command_line, resolve
from luoxia.verbs.opening import checked_format, opening, require_more, require_tunable, resumed, using
from luoxia.verbs.settings import ExportSettings, LoadSettings


class Interrupted(LuoxiaError):  # noqa: N818  (a request, not an error)
    """A signal ended training; everything is saved."""


# ------------------------------------------------------------------ train and resume


def train(recipe: str | Recipe | type[Recipe], *, quiet: bool = False, **settings: Any) -> Run:
    """Train a recipe and return its run.

    ``luoxia.train("dcgan", data="photos/", steps=20_000)`` is ``luoxia train dcgan data=photos/ steps=20_000``; nested
    keys are written ``**{"ema.halflife": 5000}`` or ``ema={"halflife": 5000}``. ``UsageError`` for a wrong setting,
    ``Interrupted`` when a signal stopped it (the run can be resumed).
    """
    with told_once():
        config = configure(recipe, nest(using(settings)))
        Run.check_free(config.out)
        check_installed(config.log)
    display = Display(quiet)
    world = join_world(config.device)
    try:
        display.console.quiet = quiet or not world.main
        dataset = _open_together(config, world, display)
        _announce(config, dataset, display)
        run = _create_together(config, world)
        try:
            settled = world.agree(lambda: settled_by_trial(config, run, dataset, world, display))
            session = world.agree(lambda: settled_session(settled, run, dataset, world, display))
            name = recipe if isinstance(recipe, str) else session.recipe_name
            session.start(command_line("train", name, _given(config)))
            return _go(session, display)
        except BaseException:
            if world.main:
                run.discard_unbegun()
            raise
    finally:
        leave_world()


def resume(run: str | Path | Run, *, quiet: bool = False, **settings: Any) -> Run:
    """Go on with a run from its newest checkpoint, bit for bit as if it had never stopped.

    ``steps`` is the new total; ``budget`` the new total of training time. Other keys of the recipe stay as they are.
    A run of a recipe of one's own needs the file that holds it: ``use="mine.py"``.
    """
    display = Display(quiet)
    with told_once():
        opened = run if isinstance(run, Run) else Run.open(named_path(run, "resume"))
        config = resumed(opened, using(settings), display.tell)
    world = join_world(config.device)
    try:
        display.console.quiet = quiet or not world.main
        dataset = _open_together(config, world, display)
        world.agree(lambda: _check_unfinished(opened, config, dataset))
        session = world.agree(
            lambda: session_of(config)(config, opened, dataset, world, display, resumed=True)
        )
        session.restore()
        return _go(session, display)
    finally:
        leave_world()


def _check_unfinished(run: Run, config: Recipe, dataset: Any) -> None:
    """``UsageError`` if the data is another, or nothing is left to do."""
    if dataset.fingerprint != run.manifest["data"]["fingerprint"]:
        raise UsageError(
            f"the data at {dataset.source} has changed since {run.path} began; put it back or train anew"
        )
    require_more(run, config, load_latest(run.checkpoints).state)


def finetune(model: str | Path | Run, *, quiet: bool = False, **settings: Any) -> Run:
    """Go on from the weights of a run or of a Hugging Face folder, on other data, as a new run.

    ``luoxia.finetune("runs/gpt-1", data="letters/", lora=8)``, ``luoxia.finetune("runs/dcgan-1", data="own/",
    freeze_d=2)``. The keys are those of the recipe that trains such models, with defaults for fine-tuning; of a
    language model the form and the tokenizer are the model's own, of an image generator the weights that fit the data
    are carried over, and run.json says which. ``UsageError`` for a model that cannot be gone on from.
    """
    recipe, tuned = tuned_settings(model, settings)
    return train(recipe, quiet=quiet, **tuned)


def tuned_settings(
    model: str | Path | Run, settings: dict[str, Any]
) -> tuple[str | type[Recipe], dict[str, Any]]:
    """The recipe and the settings that go on from a model."""
    model = named_path(model, "finetune")
    opening(model, settings)
    settings = {key: value for key, value in settings.items() if key != "use"}
    require_tunable(model)
    kind = kind_of(model)
    session = next(session for session in SESSIONS.values() if session.exported == kind)
    return session.tuned(str(model), nest(settings))


@known_keys
def export(
    model: str | Path | Run,
    out: str | Path,
    *,
    format: str | None = None,
    dtype: str | None = None,
    direction: str | None = None,
    use: str | None = None,
    adapter: str | None = None,
) -> Path:
    """Write a model for other toolkits.

    ``format``: of a language model ``huggingface``, a folder that transformers and vLLM open; of an image generator
    ``onnx``, a file, or ``tensorflow``, a SavedModel folder, both compared with PyTorch before they are written; of an
    image translator ``onnx``, one ``direction`` of it (None: a2b). None: the first that the model has. ``dtype``, of a
    language model's weights: float32, bfloat16 or float16; None: as they are. ``use``: the file of a recipe of one's
    own. ``adapter``: a PEFT folder, merged into a Hugging Face folder's weights. ``UsageError`` for a model or a form
    of network that the format cannot hold.
    """
    model = named_path(model, "export")
    given = {"out": out, "format": format, "dtype": dtype, "direction": direction}
    chosen: ExportSettings = ExportSettings.from_settings(given)
    opening(model, {"use": use})
    format = checked_format(model, chosen)
    if format == "huggingface":
        return export_huggingface(model, str(out), chosen.dtype, adapter)
    refuse_adapter(model, adapter)
    return export_images(load(model), Path(out), format, chosen.direction or "a2b")


def _go(session: Session, display: Display) -> Run:
    with session.run.held() if session.world.main else contextlib.nullcontext():
        finished = session.go()
    if not finished:
        if not session.world.main:
            raise ToldElsewhereError(Interrupted.exit_code)
        step = session.trainer.progress.step
        raise Interrupted(
            f"stopped by {session.stopper.signal or 'another process'} at step {step:,}, everything is saved; "
            f"go on with: luoxia resume {session.run.path}"
        )
    return session.run


def settled_session(config: Recipe, run: Run, dataset: Any, world: World, display: Display) -> Session:
    """The training of a recipe, with every default settled."""
    kind = session_of(config)
    return kind(resolve(config, kind.settle(config, dataset)), run, dataset, world, display)


def _open_together(config: Recipe, world: World, display: Display) -> Any:
    """The main process decodes, the others then find the cache filled."""
    kind = session_of(config)
    dataset = world.agree(lambda: kind.open_data(config, display) if world.main else None)
    return world.agree(lambda: dataset if world.main else kind.open_data(config))


def _create_together(config: Recipe, world: World) -> Run:
    """The main process makes the run's folder; every process knows it."""
    name = config.name or type(config).__name__
    run = world.agree(lambda: Run.create(config.out, name) if world.main else None)
    path = world.text_from_main(str(run.path) if run else "")
    return run or Run(Path(path), {})


def _announce(config: Recipe, dataset: Any, display: Display) -> None:
    display.tell(f"data: {session_of(config).announce(dataset)}")
    for note in getattr(dataset, "notes", ()):
        display.tell(note)
    if skipped := how_many_skipped(config, dataset):
        display.tell(f"skipped {skipped}; see skipped.txt")


def how_many_skipped(config: Recipe, dataset: Any) -> str:
    """How much of the data could not be used, of how much, and why; "" for nothing."""
    if not dataset.skipped:
        return ""
    return f"{session_of(config).skipped(dataset)}: {in_words(dataset.skipped)}"


def _given(config: Recipe) -> dict[str, str]:
    """What was set or differs from the recipe's defaults, as words of the command line; never ``out``."""
    defaults = flatten(type(config)().model_dump(mode="json"))
    chosen = flatten(config.model_dump(mode="json", exclude={"out"}))
    given = config.model_fields_set
    return {key: _word(value) for key, value in chosen.items() if value != defaults[key] or key in given}


def _word(value: Any) -> str:
    if value is None or value == []:
        return "none"
    if isinstance(value, list):
        return as_words(value)
    return str(value).lower() if isinstance(value, bool) else str(value)


# ------------------------------------------------------------------ load


@known_keys
def load(
    path: str | Path | Run,
    *,
    ema: bool = True,
    device: str | torch.device = "auto",
    dtype: str | torch.dtype | None = None,
    quantize: str | None = None,
    use: str | None = None,
    adapter: str | Path | None = None,
) -> Any:
    """The generator of a run, or of the ``model`` folder inside it: an ``ImageGenerator``, an ``ImageTranslator``,
    a ``TextGenerator``, a ``Translator``, a ``TextClassifier`` or a ``TextEmbedder``. Of a Hugging Face folder:
    a ``TextGenerator``, or of a BERT a ``TextEncoder``.

    ``device``: auto (CUDA, then MPS, then the CPU), cpu, cuda, cuda:1 or mps. ``ema=False`` takes the weights of the
    last checkpoint instead of their average (a run's folder only). ``dtype``: float32 or bfloat16, of the products of a
    model of images, or of the weights of one that writes text; ``quantize``: int8, of the matrices of one that writes
    text. ``use`` is the file of a recipe of one's own, which a model never names itself: see ``luoxia.use``.
    ``adapter``: a PEFT folder of LoRA adapters, which are merged into the weights of a Hugging Face folder. Several
    threads may use what is returned.
    """
    path = Path(named_path(path, "load"))
    chosen = LoadSettings.from_settings({"ema": ema, "device": device})
    ema, place = chosen.ema, choose_device(chosen.device)
    folder = model_folder(path)
    opening(path, {"use": use})
    precise = _precision(path, dtype, quantize)
    if not ema and folder == path:
        raise UsageError(f"ema=false needs a run's folder, with its checkpoints; {path} holds only the model")
    if is_foreign(folder):
        return load_foreign(folder, place, adapter, **precise)
    refuse_adapter(path, adapter)
    with (
        usable(folder),
        torch.random.fork_rng(devices=[]),
    ):  # a network is built with weights that are then replaced
        return _load_model(folder, None if ema else path / "checkpoints", place, precise)


def _precision(path: Path, dtype: str | torch.dtype | None, quantize: str | None) -> dict[str, Any]:
    """What a model is built with."""
    known = {"float32": torch.float32, "bfloat16": torch.bfloat16}
    chosen = known.get(str(dtype).removeprefix("torch."))
    if dtype is not None and chosen is None:
        raise UsageError(f"dtype={dtype}: must be float32 or bfloat16")
    if quantize not in (None, "int8"):
        raise UsageError(f"quantize={quantize}: must be int8")
    if quantize and kind_of(path) in (ImageSession.exported, UnpairedSession.exported):
        raise UsageError(f"quantize={quantize} is for models that write text: leave it out")
    return {key: value for key, value in (("dtype", chosen), ("quantize", quantize)) if value is not None}


def _load_model(
    folder: Path, checkpoints: Path | None, device: torch.device, precise: Mapping[str, Any]
) -> Any:
    """What the model folder holds, with the weights of the last of ``checkpoints`` if these are given."""
    stored = Stored.read(folder)
    kind = session_of(stored.recipe)
    if stored.config["kind"] != kind.exported:
        raise LuoxiaError(
            f"{folder} holds a model of kind '{stored.config['kind']}', which this Luoxia does not know"
        )
    weights = stored.weights(checkpoints, kind.network)
    common = {"details": stored.details, "device": device, **precise}
    with no_larger_than(weights):
        return kind.open_model(stored.recipe, stored.config, weights, folder, **common)


__all__ = [
    "Interrupted", "Run", "configure", "export", "finetune", "kind_of", "load", "resume", "train",
]  # fmt: skip
