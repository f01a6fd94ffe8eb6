"""From token ids to token ids: sampling, beam search, constraints."""
