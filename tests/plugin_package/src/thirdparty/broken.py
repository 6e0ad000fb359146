"""A backend whose vendor's library is not there."""

raise ImportError("libthirdparty.so.3: cannot open shared object file")
