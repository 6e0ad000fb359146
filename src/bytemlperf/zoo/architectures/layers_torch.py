"""Define single layers in PyTorch as benchmarks: a convolution, and recurrent layers over a sequence.

Source: LeCun et al., 1989, for convolutions; Cho et al., 2014 (arXiv:1406.1078) for the GRU; Hochreiter
and Schmidhuber, 1997, for the LSTM; each as PyTorch documents it.
"""

from torch import Tensor, nn

DEFINITION_VERSION = "1"
"""Changes whenever the graph or a parameter name of this file changes."""


class Convolution(nn.Module):
    """Convolve an image once, padded so that its sides stay."""

    def __init__(self, in_channels: int, channels: int, kernel: int, groups: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, channels, kernel, padding=kernel // 2, groups=groups)

    def forward(self, features: Tensor) -> Tensor:
        """Map float32 [batch, in_channels, h, w] to [batch, channels, h, w]."""
        output: Tensor = self.conv(features)
        return output


class Recurrent(nn.Module):
    """Go once over a sequence, from a state of zeros."""

    def __init__(self, layer: nn.GRU | nn.LSTM) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, sequence: Tensor) -> Tensor:
        """Map float32 [batch, steps, input_size] to the states after each step, [batch, steps, hidden_size]."""
        states: Tensor = self.layer(sequence)[0]
        return states


def build_convolution(*, in_channels: int, channels: int, kernel: int = 3, groups: int = 1) -> Convolution:
    """Return a convolution in evaluation mode.

    Args:
        in_channels: Of the input.
        channels: Of the output.
        kernel: Odd side of the window; 1 is a pointwise convolution.
        groups: Groups of channels that do not mix; as many as channels is a depthwise convolution.

    Raises:
        ValueError: The kernel is even, or the groups do not divide both channels.
    """
    if kernel % 2 == 0 or in_channels % groups or channels % groups:
        raise ValueError(f"kernel={kernel} is even, or groups={groups} do not divide {in_channels} and {channels}")
    return Convolution(in_channels, channels, kernel, groups).eval()


def build_gru(*, input_size: int, hidden_size: int) -> Recurrent:
    """Return a GRU of one layer and one direction in evaluation mode.

    Args:
        input_size: Numbers of each step.
        hidden_size: Numbers of the state.
    """
    return Recurrent(nn.GRU(input_size, hidden_size, batch_first=True)).eval()


def build_lstm(*, input_size: int, hidden_size: int) -> Recurrent:
    """Return an LSTM of one layer and one direction in evaluation mode.

    Args:
        input_size: Numbers of each step.
        hidden_size: Numbers of the state.
    """
    return Recurrent(nn.LSTM(input_size, hidden_size, batch_first=True)).eval()
