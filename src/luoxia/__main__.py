"""``python -m luoxia``, as torchrun starts it."""

from luoxia.cli import main

main()
