"""The files of MLPerf LoadGen, in and out.

`read` takes `mlperf_log_detail.txt`, of LoadGen or in its form, for a value; `make_files` and `Report.to_mlperf` write
a run as LoadGen would have told it. What cannot be had of a run of this package is left out: `LEFT_OUT` lists it.
"""

from bytemlperf.report.mlperf.exporting import Files, System, make_files
from bytemlperf.report.mlperf.keys import LEFT_OUT
from bytemlperf.report.mlperf.lines import LogLine
from bytemlperf.report.mlperf.log import DetailLog, read
from bytemlperf.report.mlperf.settings import Setup
from bytemlperf.report.mlperf.stamps import IssuedSamples

__all__ = ["LEFT_OUT", "DetailLog", "Files", "IssuedSamples", "LogLine", "Setup", "System", "make_files", "read"]
