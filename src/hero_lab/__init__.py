"""The built-in end-to-end run: tiny models trained from scratch on a CPU, one run a reward rule, an exact oracle."""
