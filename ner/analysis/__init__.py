"""The uncertainty of a tagger: calibration, entropies, and alternatives to predicted spans."""
