"""``python -m luoxia``, as torchrun starts it."""

import os
import sys

if sys.path[0] == os.getcwd() and __file__ != os.sep.join([sys.path[0], "luoxia", "__main__.py"]):  # noqa: PTH109, PTH118
    del sys.path[0]  # -m looks for modules in the working folder: a model's may hold a numpy.py

from luoxia.cli.main import main

main()
