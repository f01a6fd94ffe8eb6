"""How a report shows the game of a generator and a discriminator: what is drawn together, and how it is read."""

from __future__ import annotations

from collections.abc import Mapping

from luoxia.runs.reported import Figure

AIDS: Mapping[str, str] = {
    "discriminator": "Good: a level band. Near 0 it separates everything and the generator learns nothing.",
    "generator": "Good: level after the first steps. A steady climb means that the discriminator is winning; "
    "these losses do not measure quality, the scores do.",
    "penalty": "Good: small and level. Growth by powers of ten means that the discriminator's gradients explode.",
    "diversity": "How different samples are from each other, relative to real ones. Good: near 1. A fall towards 0 "
    "is mode collapse.",
}
"""Phase or statistic → how its curve is read."""
FIGURES = (
    Figure(
        "The discriminator's logits",
        {"train_logit": "trained on", "heldout_logit": "held-out", "fake_logit": "generated"},
        "Good: held-out samples score like those trained on. A growing gap between them is overfitting; "
        "both far above generated samples means that the discriminator has won.",
        instead_of=("real_logit",),  # train_logit without the noise of training mode
    ),
    Figure(
        "Mean sign of the logits",
        {"real_sign": "real", "fake_sign": "generated"},
        "1: all are called real; −1: none is. Good: real above generated, and neither near ±1, where the "
        "discriminator is too strong.",
    ),
)
"""The statistics of ``Adversarial`` and of its kin."""
