"""Benchmarks: sample and grade a policy on them, with intervals, and compare policies.

Built on inspect_ai, which samples, retries, resumes and keeps the logs; ours are the table of benchmarks, the verifiers as
scorers, the statistics and the comparison.
"""
