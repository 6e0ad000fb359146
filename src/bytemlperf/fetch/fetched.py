"""What was got from a source."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import attrs

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
