"""The nearest prototype as a network: the larger `p . x - |p|^2 / 2`, the nearer `p`."""

from torch import Tensor, nn


class Nearest(nn.Module):
    """Score points against prototypes."""

    def __init__(self, *, features: int, classes: int) -> None:
        super().__init__()
        self.scores = nn.Linear(features, classes)

    def forward(self, point: Tensor) -> Tensor:
        """Map [batch, features] to [batch, classes]."""
        scores: Tensor = self.scores(point)
        return scores


def build(*, features: int, classes: int) -> Nearest:
    """Return the network in evaluation mode."""
    return Nearest(features=features, classes=classes).eval()
