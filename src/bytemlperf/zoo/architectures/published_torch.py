"""Take published checkpoints as they are, with the names in them that a definition has no use for."""

import re
from collections.abc import Callable, Sequence
from typing import Any

from torch import nn


def leave_out(module: nn.Module, patterns: Sequence[str]) -> None:
    """Let ``load_state_dict(strict=True)`` pass over names that a pattern matches as a whole.

    Such are buffers that older files carry and the definition computes, and layers of another task.
    The patterns stay readable as the module's ``unused_weights``.

    Args:
        module: The whole model.
        patterns: Regular expressions.
    """
    module.unused_weights = tuple(patterns)  # type: ignore[assignment]  # torch's stubs know tensors and modules only
    module.register_load_state_dict_pre_hook(_passing_over(patterns))  # type: ignore[no-untyped-call]  # torch's


def _passing_over(patterns: Sequence[str]) -> Callable[..., None]:
    unused = re.compile("|".join(f"(?:{pattern})" for pattern in patterns))

    def hook(_module: nn.Module, state: dict[str, Any], *_others: object) -> None:
        for name in [name for name in state if unused.fullmatch(name)]:
            del state[name]

    return hook
