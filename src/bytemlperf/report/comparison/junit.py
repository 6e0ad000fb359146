"""A comparison as JUnit's XML, which every CI system shows.

Source: the form that Jenkins' xUnit plug-in reads: testsuites, testsuite, testcase with failure or skipped.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final
from xml.etree import ElementTree as ET

from bytemlperf.report.comparison.result import Decision
from bytemlperf.report.comparison.wording import change_text, decision_text, interval_text, value_text

if TYPE_CHECKING:
    from bytemlperf.report.comparison.result import Comparison, FigureComparison

_NOT_IN_XML: Final = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def to_junit(comparison: Comparison, *, strict: bool = False) -> str:
    """Write a case for each figure that was decided.

    Args:
        comparison: What to write.
        strict: Whether an undecided figure, or a row that b lacks, fails; else it is skipped.
    """
    decided = [each for each in comparison.figures if each.decision is not None]
    cases = [*(_case(each, strict=strict) for each in decided), *(_lost(key, strict=strict) for key in comparison.lost)]
    counts = {
        "tests": str(len(cases)),
        "failures": str(sum(case.find("failure") is not None for case in cases)),
        "skipped": str(sum(case.find("skipped") is not None for case in cases)),
        "errors": "0",
    }
    name = _plain(f"{comparison.b.task}: {comparison.b.name} against {comparison.a.name}")
    top = ET.Element("testsuites", counts)
    suite = ET.SubElement(top, "testsuite", {"name": name, **counts})
    suite.extend(cases)
    ET.indent(top)
    return ET.tostring(top, encoding="unicode", xml_declaration=True) + "\n"


def _case(each: FigureComparison, *, strict: bool) -> ET.Element:
    case = ET.Element("testcase", {"classname": _plain(each.row), "name": _plain(each.figure)})
    told = _plain(_sentence(each))
    if each.is_worse or (strict and each.decision is Decision.UNDECIDED):
        ET.SubElement(case, "failure", {"type": decision_text(each), "message": told}).text = _plain(each.note)
    elif each.decision is Decision.UNDECIDED:
        ET.SubElement(case, "skipped", {"message": told})
    else:
        ET.SubElement(case, "system-out").text = told
    return case


def _lost(key: str, *, strict: bool) -> ET.Element:
    case = ET.Element("testcase", {"classname": _plain(key), "name": "row"})
    ET.SubElement(case, "failure" if strict else "skipped", {"message": "b does not have this row"})
    return case


def _sentence(each: FigureComparison) -> str:
    values = f"{value_text(each.a, each.unit)} to {value_text(each.b, each.unit)}"
    return f"{decision_text(each)}: {values}, change {change_text(each)} [{interval_text(each)}]"


def _plain(text: str) -> str:
    return _NOT_IN_XML.sub("?", text)
