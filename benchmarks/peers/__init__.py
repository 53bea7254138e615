"""Baselines, each trained on the same sentences: ``train_and_tag(train, development, test)``."""
