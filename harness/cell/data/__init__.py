"""Data sets and batches, made by numpy and Pillow alone so that every pin sees the same bytes.

Nothing here imports torch.
"""
