"""One training of each medium, put together from data, recipe, trainer, samples and scores."""

from __future__ import annotations

from luoxia.errors import UsageError
from luoxia.recipes import GPT, AdversarialRecipe, ClassifyText, EmbedText, Recipe, Translate, UnpairedRecipe
from luoxia.sessions.base import Session
from luoxia.sessions.classification import ClassificationSession
from luoxia.sessions.embedding import EmbeddingSession
from luoxia.sessions.images import ImageSession
from luoxia.sessions.text import TextSession
from luoxia.sessions.translation import TranslationSession
from luoxia.sessions.unpaired import UnpairedSession

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
    kinds = " or ".join(f"luoxia.recipes.{kind.__name__}" for kind in SESSIONS)
    raise UsageError(f"{type(recipe).__name__} must be a subclass of {kinds}")


__all__ = ["SESSIONS", "Session", "session_of"]
