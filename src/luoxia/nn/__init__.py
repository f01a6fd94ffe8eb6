"""Parts of networks: attention, the Transformer, resampling, adapters."""
