"""Tagging streams of any length in constant memory: the readers and writers of ``ner tag``."""
