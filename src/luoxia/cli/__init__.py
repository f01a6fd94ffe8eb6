"""The command line: a table of verbs, and how their results are printed."""
