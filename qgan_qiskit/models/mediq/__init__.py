"""MediQ-GAN (arXiv 2506.21015v2)."""
