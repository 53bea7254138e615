"""Every sum over the paths of a linear chain, on numpy arrays; needs no torch."""
