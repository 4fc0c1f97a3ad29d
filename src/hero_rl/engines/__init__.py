"""Training engines: each turns the rewards and weights of a ``HybridReward`` into its own kind of policy update."""
