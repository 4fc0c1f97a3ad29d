"""Browse rollouts in a browser: a local page, or one self-contained file.

Nothing here judges or scores anything: verdicts and scores are those of the files, rewards may be recomputed by another rule.
"""
