"""Define Wide&Deep for Criteo's click logs in PyTorch: the owner of the weights of ``widedeep_tf``.

There is no public checkpoint; names of parameters are our own.

Source: Cheng et al., "Wide & Deep Learning for Recommender Systems", 2016 (arXiv:1606.07792), with
the columns and widths of TensorFlow's Criteo model that ByteMLPerf took over: 26 categorical columns
hashed into 1,000 buckets each and 13 numbers; embeddings of 32; hidden layers of 1024, 512 and 256.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from bytemlperf.zoo.architectures.initialise_torch import Draw, constant, normal, uniform

DEFINITION_VERSION = "1"
"""Changes whenever the graph or a parameter name of this file changes."""


class WideDeep(nn.Module):
    """Estimate the probability of a click by a linear model beside a deep one.

    Args:
        columns: Categorical columns.
        buckets: Values of each column.
        numbers: Numeric columns.
        embedding_width: Numbers that stand for a value.
        hidden: Widths of the hidden layers.
    """

    def __init__(
        self, *, columns: int, buckets: int, numbers: int, embedding_width: int, hidden: Sequence[int]
    ) -> None:
        super().__init__()
        self.columns, self.buckets = columns, buckets
        self.wide = nn.Embedding(columns * buckets, 1)
        self.wide_bias = nn.Parameter(torch.zeros(1))
        self.embedding = nn.Embedding(columns * buckets, embedding_width)
        widths = [columns * embedding_width + numbers, *hidden, 1]
        pairs = pairwise(widths)
        self.hidden = nn.ModuleList(nn.Linear(wide, narrow) for wide, narrow in pairs)

    def forward(self, categorical: Tensor, numeric: Tensor) -> Tensor:
        """Estimate probabilities of a batch.

        Args:
            categorical: int64 [columns * batch, 2], of each sample one row after the other: the number of a
                column (its remainder by ``columns``) and the bucket of its value.
            numeric: float32 [batch, numbers], scaled to about 0 to 1.

        Returns:
            probabilities: float32 [batch, 2], of no click and of a click.
        """
        B = numeric.shape[0]
        rows = (categorical[:, 0] % self.columns * self.buckets + categorical[:, 1]).view(B, self.columns)
        wide = self.wide(rows).sum(dim=1) + self.wide_bias  # [batch, 1]
        deep = torch.cat([numeric, self.embedding(rows).flatten(1)], dim=1)  # [batch, 845]
        for layer in self.hidden[:-1]:
            deep = torch.relu(layer(deep))  # [batch, 1024], [batch, 512], [batch, 256]
        logit = wide + self.hidden[-1](deep)  # [batch, 1]
        return torch.cat([torch.zeros_like(logit), logit], dim=1).softmax(dim=1)

    def draws(self) -> dict[str, Draw]:
        """Draw random weights as TensorFlow's estimator does, but for the linear model, which starts there at zero.

        Zeros would leave half of the model untested; its values are drawn so that it weighs as much as the deep half.
        """
        rules: dict[str, Draw] = {
            "wide.weight": normal(0.5 * self.columns**-0.5),
            "wide_bias": constant(0),
            "embedding.weight": normal(self.embedding.embedding_dim**-0.5),
        }
        for number, layer in enumerate(self.hidden):
            sides = sum(layer.get_parameter("weight").shape)
            rules |= {f"hidden.{number}.weight": uniform((6 / sides) ** 0.5), f"hidden.{number}.bias": constant(0)}
        return rules


def build(
    *,
    columns: int = 26,
    buckets: int = 1000,
    numbers: int = 13,
    embedding_width: int = 32,
    hidden: Sequence[int] = (1024, 512, 256),
) -> WideDeep:
    """Return the network in evaluation mode; the defaults are ByteMLPerf's.

    Args:
        columns: Categorical columns.
        buckets: Values of each column.
        numbers: Numeric columns.
        embedding_width: Numbers that stand for a value.
        hidden: Widths of the hidden layers.
    """
    return WideDeep(
        columns=columns, buckets=buckets, numbers=numbers, embedding_width=embedding_width, hidden=hidden
    ).eval()
