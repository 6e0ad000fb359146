"""The only room that downloads: hub, URLs, packages' own files, and the cache.

Nothing is read from the environment, and no network is touched, before a function is called.
"""

from bytemlperf.fetch.cache import CACHE_VARIABLE, Entry, cache_dir, kept
from bytemlperf.fetch.fetched import Fetched, verify
from bytemlperf.fetch.hub import hub_files
from bytemlperf.fetch.package import package_file
from bytemlperf.fetch.sources import files_of
from bytemlperf.fetch.url import url_file, url_folder

__all__ = [
    "CACHE_VARIABLE",
    "Entry",
    "Fetched",
    "cache_dir",
    "files_of",
    "hub_files",
    "kept",
    "package_file",
    "url_file",
    "url_folder",
    "verify",
]
