"""Records in, table out. Imports `harness.core` only, of ours, and never torch."""
