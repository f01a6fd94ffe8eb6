"""What a recipe of your own is made of: the classes to inherit from, the sections of settings, the types of keys.

>>> from luoxia.recipes import ImageGAN, Whole
>>> class Small(ImageGAN):
...     width: Whole = 16
>>> Small().width, Small(width="1_000").width
(16, 1000)
"""

from luoxia.tasks.parts import *  # noqa: F403
