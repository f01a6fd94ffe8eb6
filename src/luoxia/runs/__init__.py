"""The run folder: its layout, its records and its report."""
