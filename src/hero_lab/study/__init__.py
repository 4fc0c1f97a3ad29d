"""A study: many comparisons from one plan, each run once, and what each claim comes to.

plan = read_plan(Path("plan.toml"))          # plan.py     TOML -> tables -> runs, everything checked
execute(plan.runs(), ...)                    # lab/grid.py the runs
entries = collect(plan, out)                 # collect.py  results, from the runs or from kept files
tables = [tabulate(table, entries[...])]     # tables.py   means, paired differences, verdicts
write_study(out, ...)                        # page.py     Markdown, JSON, figures, one page
"""
