"""How it is run: `core` (what both sides know), `conduct` (starts the runs), `cell` (what runs in a pin)."""
