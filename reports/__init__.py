"""Records in, decision out. Of ours it imports `harness.core`, and through it the cases' declarations; never torch."""
