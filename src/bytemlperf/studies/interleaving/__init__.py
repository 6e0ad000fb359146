"""Two backends in turn, so that what drifts meanwhile is on neither side."""
