"""Architectures only: ``nn.Module``s that know no files, loops or optimisers."""
