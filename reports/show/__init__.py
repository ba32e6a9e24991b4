"""How it is told: table, page, plots, decision record, terminal. All sentences are made here."""
