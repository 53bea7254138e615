"""Baselines, each trained on the same sentences: ``train_and_tag(train, development, test)``.

Those called ``..._speed`` are only timed: ``runs(sentences, ...)`` gives what tags the sentences.
"""
