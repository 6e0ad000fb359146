"""Operators, work and traffic of a model, counted from its graph.

Example:
    >>> from bytemlperf import graph, zoo
    >>> cost = graph.recipe_cost(zoo.get("resnet50-torch-fp32"), batch_size=1)
    >>> round(cost.macs / 1e9, 2)
    4.09
"""

from bytemlperf.graph.cost import GraphCost, OperatorCost, cost, recipe_cost

__all__ = ["GraphCost", "OperatorCost", "cost", "recipe_cost"]
