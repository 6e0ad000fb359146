"""Files that an installed Python package ships."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path, PurePosixPath

from bytemlperf.errors import SpecError, WeightsUnavailableError


def package_file(location: str) -> Path:
    """Return the path of a file or folder inside an installed package.

    Args:
        location: `package:path/in/it`, such as `bytemlperf:zoo/weights/x.safetensors`.

    Raises:
        SpecError: If the text is no such location.
        WeightsUnavailableError: If the package or the file is not there.
    """
    package, colon, inner = location.partition(":")
    relative = PurePosixPath(inner)
    if not colon or not package or not inner or relative.is_absolute() or ".." in relative.parts:
        raise SpecError("a location in a package is malformed", got=location, expected="'package:path/in/it'")
    try:
        found = files(package).joinpath(*relative.parts)
    except (ImportError, TypeError, ValueError) as error:
        raise WeightsUnavailableError(
            f"the package {package!r} cannot be imported", got=str(error), remedy="install it"
        ) from error
    if not isinstance(found, Path) or not found.exists():
        raise WeightsUnavailableError(
            "a package does not ship this file", got=location, remedy=f"reinstall {package!r}, unpacked"
        )
    return found
