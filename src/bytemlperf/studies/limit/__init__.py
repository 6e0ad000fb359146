"""The highest rate at which a bound of latency is kept."""
