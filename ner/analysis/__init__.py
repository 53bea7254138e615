"""How sure a tagger is: its calibration, its uncertainty, and the alternatives to what it found."""
