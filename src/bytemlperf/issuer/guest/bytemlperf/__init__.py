"""Stands in for bytemlperf in an interpreter where it cannot be installed: what a backend author needs.

Standard library only, syntax of Python 3.7. The fields of every class are those of the real
package; a test holds them equal.
"""

from bytemlperf.backends import *  # noqa: F403
from bytemlperf.backends import __all__  # noqa: F401
