"""Loading a trained model in Python."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from luoxia.core.config import known_keys
from luoxia.core.values import named_path
from luoxia.runs.run import Run
from luoxia.verbs.request import opened
from luoxia.verbs.settings import LoadSettings

if TYPE_CHECKING:
    import torch


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
    """The model of a run, or of the ``model`` folder inside it: an ``ImageGenerator``, an ``ImageTranslator``,
    a ``TextGenerator``, a ``Translator``, a ``TextClassifier`` or a ``TextEmbedder``. Of a Hugging Face folder:
    a ``TextGenerator``, or of a BERT a ``TextEncoder``.

    ``device``: auto (CUDA, then MPS, then the CPU), cpu, cuda, cuda:1 or mps. ``ema=False`` takes the weights of the
    last checkpoint instead of their average (a run's folder only). ``dtype``: float32 or bfloat16, of the products of a
    model of images, or of the weights of one that writes text; ``quantize``: int8, of the matrices of one that writes
    text. ``use`` is the file of a recipe of one's own, which a model never names itself: see ``luoxia.use``.
    ``adapter``: a PEFT folder of LoRA adapters, which are merged into the weights of a Hugging Face folder. Several
    threads may use what is returned.

    >>> import luoxia
    >>> run = luoxia.train("gan", steps=2, batch=4, extractor="none", quiet=True)
    >>> generator = luoxia.load(run, device="cpu")
    >>> generator.sample(16, seed=0).shape
    (16, 28, 28, 1)
    """
    place = named_path(path, "load")
    chosen: LoadSettings = LoadSettings.from_settings({"ema": ema, "device": device})
    record = opened(place, {"use": use})
    from luoxia.tasks.loading import load_model

    return load_model(
        record, ema=chosen.ema, device=chosen.device, dtype=dtype, quantize=quantize, adapter=adapter
    )
