"""HERO: hybrid ensemble reward optimization (arXiv 2510.07242)."""
