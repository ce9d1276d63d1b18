"""Evidence in experiment trackers: a run per episode, its request beside it.

    notes       what one published event says, in a form that every tracker can take
    follow      the topics, at least once
    trackers    MLflow, Weights & Biases, Comet, each through its own client

The clients are optional packages, imported when they are asked for.
"""
