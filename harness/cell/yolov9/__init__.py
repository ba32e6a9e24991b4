"""YOLOv9-S (arXiv:2402.13616), written from its published facts: the model, its loss, and what evaluation needs."""
