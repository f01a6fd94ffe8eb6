"""What a recipe of your own is made of: the classes to inherit from, the sections of settings, the types of keys.

>>> from luoxia.recipes import ImageGAN, Whole
>>> class Small(ImageGAN):
...     width: Whole = 16
>>> Small().width, Small(width="1_000").width
(16, 1000)
"""

from typing import TYPE_CHECKING, Any

from luoxia.tasks.parts import *  # noqa: F403

if not TYPE_CHECKING:  # for which any name would be here

    def __getattr__(name: str) -> Any:
        """The recipes of every task, and the families that they are of."""
        from luoxia import registry

        for task in registry.tasks():
            for kind in (*task.recipes, task.family):
                if kind.__name__ == name:
                    return kind
        raise AttributeError(f"module 'luoxia.recipes' has no attribute '{name}'")
