"""The uncertainty of a tagger: its calibration, entropies, and alternatives to what it found."""
