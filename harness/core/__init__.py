"""What the conductor, the cells and the reports share: specs, plan, records, errors. No torch; Python 3.9 syntax."""
