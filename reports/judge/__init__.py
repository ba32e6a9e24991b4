"""What follows from the evidence, as values: findings, checks, fingerprints, reasons, verdicts. No sentences."""
