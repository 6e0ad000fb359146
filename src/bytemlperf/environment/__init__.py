"""On what machine and with which software figures were measured; no secrets, no paths, no variables."""

from bytemlperf.environment.capture import capture
from bytemlperf.environment.environment import Cpu, Environment, Timer

__all__ = ["Cpu", "Environment", "Timer", "capture"]
