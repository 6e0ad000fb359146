"""The only room that downloads: hub, URLs, archives, packages' own files, and the cache.

Nothing is read from the environment, and no network is touched, before a function is called.
"""

from bytemlperf.fetch.archive import Bounds, is_archive, unpack
from bytemlperf.fetch.cache import CACHE_VARIABLE, cache_dir, kept, kept_by_content
from bytemlperf.fetch.digests import remembered_digest
from bytemlperf.fetch.download import file_name
from bytemlperf.fetch.entry import Entry
from bytemlperf.fetch.fetched import Fetched
from bytemlperf.fetch.hub import hub_files, hub_folder
from bytemlperf.fetch.inventory import Item, Kind, clear, items, verify
from bytemlperf.fetch.package import package_file
from bytemlperf.fetch.presence import is_here
from bytemlperf.fetch.shards import is_index, weight_map
from bytemlperf.fetch.sources import archive_folder, dataset_files, files_of
from bytemlperf.fetch.transfer import MIRROR_VARIABLE, Patience, Progress, Transfer
from bytemlperf.fetch.url import split_pin, url_file, url_folder

__all__ = [
    "CACHE_VARIABLE",
    "MIRROR_VARIABLE",
    "Bounds",
    "Entry",
    "Fetched",
    "Item",
    "Kind",
    "Patience",
    "Progress",
    "Transfer",
    "archive_folder",
    "cache_dir",
    "clear",
    "dataset_files",
    "file_name",
    "files_of",
    "hub_files",
    "hub_folder",
    "is_archive",
    "is_here",
    "is_index",
    "items",
    "kept",
    "kept_by_content",
    "package_file",
    "remembered_digest",
    "split_pin",
    "unpack",
    "url_file",
    "url_folder",
    "verify",
    "weight_map",
]
