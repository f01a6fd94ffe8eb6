"""The menu: one file a family, a typed config and ``build()``."""
