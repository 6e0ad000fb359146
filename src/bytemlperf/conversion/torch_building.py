"""Build a torch module without drawing the weights that it will be given."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar

from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

T = TypeVar("T")

_KEPT: Final = frozenset({"requires_grad_", "share_memory_", "detach_", "rename_"})
"""Methods that end like those that write values, and write none."""

_IS_META: Final = Tensor.is_meta.__get__  # type: ignore[attr-defined]  # a property, which the stubs hide
"""What asks whether a tensor is one without values."""


class _Undrawn(TorchFunctionMode):
    """Leaves out whatever would write to parameters: their memory is then never touched, and takes no room."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: object,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401 - whatever the function returns
        given = kwargs or {}
        if func == _IS_META and isinstance(args[0], nn.Parameter):
            return True  # torch's own draws that reject and draw again then leave it alone
        written = args[0] if args else given.get("tensor")
        name = getattr(func, "__name__", "")
        writes = name.endswith("_") and not name.startswith("_") and name not in _KEPT
        return written if writes and isinstance(written, nn.Parameter) else func(*args, **given)


def undrawn(build: Callable[[], T]) -> T:
    """Call what builds a module, and leave its parameters as the memory happened to be.

    Buffers and everything else are computed as always. Memory that nobody wrote to is not taken
    from the system, so that a module of any size can be built on any machine, and at once.

    Args:
        build: Builds a module whose every parameter is written before it is used.
    """
    with _Undrawn():
        return build()
