"""Hugging Face models on this machine: found, loaded, tokenized, batched, run, sampled from and identified. Torch loads late.

What it is not: no quantisation, no sharding of one model over several GPUs, no serving engine.
"""
