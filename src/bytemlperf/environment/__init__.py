"""On what machine and with which software figures were measured, and whether it was quiet; no secrets, no paths."""

from bytemlperf.environment.activity import Load
from bytemlperf.environment.capture import capture
from bytemlperf.environment.environment import Cpu, Environment, Timer
from bytemlperf.environment.noise import Disturbance, NoiseCertificate, NoiseWatch, Quiet, certify

__all__ = [
    "Cpu",
    "Disturbance",
    "Environment",
    "Load",
    "NoiseCertificate",
    "NoiseWatch",
    "Quiet",
    "Timer",
    "capture",
    "certify",
]
