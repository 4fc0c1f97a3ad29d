"""The built-in experiment: tiny models trained from scratch on a CPU, one run per reward rule, and an exact oracle."""
