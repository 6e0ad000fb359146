"""The points that stand for the classes."""

import numpy as np

PROTOTYPES = np.array([[0, 0, 0, 1], [0, 1, 0, 0], [1, 0, 1, 0]], np.float32)
