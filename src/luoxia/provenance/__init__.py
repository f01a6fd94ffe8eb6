"""Where a generated file comes from: one record for every medium and format."""
