"""One training of each medium, put together from data, recipe, trainer, samples and scores."""

from __future__ import annotations

from luoxia.core.errors import UsageError
from luoxia.tasks.image_generation.training import ImageSession
from luoxia.tasks.image_translation.training import UnpairedSession
from luoxia.tasks.language_modeling.training import TextSession
from luoxia.tasks.menu import (
    GPT,
    AdversarialRecipe,
    ClassifyText,
    EmbedText,
    Recipe,
    Translate,
    UnpairedRecipe,
)
from luoxia.tasks.text_classification.training import ClassificationSession
from luoxia.tasks.text_embedding.training import EmbeddingSession
from luoxia.tasks.text_translation.training import TranslationSession
from luoxia.training.session import Session

SESSIONS: dict[type[Recipe], type[Session]] = {
    AdversarialRecipe: ImageSession,
    UnpairedRecipe: UnpairedSession,
    GPT: TextSession,
    Translate: TranslationSession,
    ClassifyText: ClassificationSession,
    EmbedText: EmbeddingSession,
}


def session_of(recipe: Recipe) -> type[Session]:
    """The session that trains such a recipe."""
    for kind, session in SESSIONS.items():
        if isinstance(recipe, kind):
            return session
    kinds = " or ".join(f"luoxia.tasks.menu.{kind.__name__}" for kind in SESSIONS)
    raise UsageError(f"{type(recipe).__name__} must be a subclass of {kinds}")


__all__ = ["SESSIONS", "Session", "session_of"]
