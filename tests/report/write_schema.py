"""Write the published schema anew after the value classes were changed: `python tests/report/write_schema.py`."""

import json
from pathlib import Path

from bytemlperf.report import SCHEMA_VERSION, schema
from bytemlperf.report.schema.building import build

if __name__ == "__main__":
    target = Path(schema.__file__).with_name(f"report-{SCHEMA_VERSION}.json")
    target.write_text(json.dumps(build(), indent=1) + "\n")
