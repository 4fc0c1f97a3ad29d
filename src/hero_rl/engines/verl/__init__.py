"""HERO in verl: a reward function for its workers, and trainer modes that shape whole groups.

    reward      compute_score: verdict and raw score of one response, for ``reward.custom_reward_function``
    plugin      what verl loads through the entry point ``verl.plugins``: it registers the trainer modes
    trainer     the modes ``hero_sync``, ``hero_colocate_async`` and ``hero_separate_async``
    settings    the table ``hero`` of verl's configuration, and what else in it would undo the rule
    recipe      a launch script and a configuration for the paper's settings

Tested with verl 0.9.0 and 0.9.1. Only ``plugin`` and ``trainer`` import verl.
"""
