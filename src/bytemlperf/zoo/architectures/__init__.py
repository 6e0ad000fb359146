"""Hold one compact, frozen model definition per architecture and framework."""
