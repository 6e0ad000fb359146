"""A package of somebody else, whose parts bytemlperf finds by their entry points."""
