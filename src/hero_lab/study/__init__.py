"""A study: many comparisons from one plan (``plan``), each run once (``grid``), and what each claim comes to (``tables``)."""
