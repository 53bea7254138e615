"""Tagging streams of any length in constant memory: what ``ner tag`` reads and writes."""
