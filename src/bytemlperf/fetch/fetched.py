"""What was got from a source."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import attrs

from bytemlperf.errors import SpecError, nearest
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


def check_pins(sha256: Mapping[str, str], names: Iterable[str]) -> None:
    """Refuse a digest of a file that a source does not have: it would pin nothing.

    Args:
        sha256: Digests by name.
        names: The source's files.

    Raises:
        SpecError: Naming the digest's file, and what comes near it.
    """
    known = tuple(names)
    for name in sha256:
        if name not in known:
            guess = nearest(name, known)
            raise SpecError(
                "a sha256 is given for a file that is not among the source's",
                got=name,
                expected=f"one of: {', '.join(known)}",
                remedy=f"did you mean {guess[0]!r}?" if guess else None,
            )
