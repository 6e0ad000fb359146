"""What was got from a source, and whether it is what was pinned."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import attrs

from bytemlperf.artifact import digest_of
from bytemlperf.errors import ChecksumError
from bytemlperf.spec.fields import as_dict


@attrs.frozen(kw_only=True)
class Fetched:
    """Files of a source on this machine.

    Attributes:
        origin: Where they come from: `repository@commit`, a URL, `package:path`.
        files: Path of each, by its name in the source; not to be written to.
        sha256: Digest of each.
    """

    origin: str
    files: Mapping[str, Path] = attrs.field(converter=as_dict)
    sha256: Mapping[str, str] = attrs.field(converter=as_dict)


def verify(path: Path, expected: str | None, *, name: str, remedy: str | None = None) -> str:
    """Return a file's sha256, having compared it with what is pinned where anything is.

    Args:
        path: File or folder.
        expected: The pinned digest in hexadecimal; None compares nothing.
        name: What to call the file in a message.
        remedy: What to do where it differs.

    Raises:
        ChecksumError: If it is another one.
    """
    found = digest_of(path)
    if expected is not None and found != expected.lower():
        raise ChecksumError(
            f"{name} is not the file that was pinned",
            where=str(path),
            got=found,
            expected=expected.lower(),
            remedy=remedy,
        )
    return found
