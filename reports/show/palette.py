"""Colours by pin, the same in every picture. Each picture tells pins apart by their marks too."""

CANDIDATES = ("#0072B2", "#D55E00", "#009E73", "#E69F00", "#56B4E9", "#B0A000")
"""In plan order. Okabe and Ito's (2008), which the colour-blind tell apart; the yellow darker, as it is lost on white.
"""
BASELINE = "#CC79A7"
CONTROL = "#808080"
