import base64
from html.parser import HTMLParser

import attrs
from tests.report.report_samples import accuracy_row, failed_report, performance_row, report

from bytemlperf.metrics.estimate import Estimate

EVIL = "<script>alert(1)</script>\"'&"


class Reader(HTMLParser):
    """Keeps tags and texts, and sees that every tag is closed in order."""

    def __init__(self):
        super().__init__()
        self.tags, self.texts, self.images, self.open = [], [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        if tag == "img":
            self.images.append(dict(attrs))
        else:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)


def read(text):
    reader = Reader()
    reader.feed(text)
    reader.close()
    assert reader.open == []
    return reader


def test_a_notebook_shows_tables_and_a_drawing():
    reader = read(report()._repr_html_())
    assert {"h3", "table", "details", "img"} <= set(reader.tags)
    text = " ".join(reader.texts)
    for told in ("digits-resnet-onnx-fp32 on onnxruntime", "accuracy/top1", "0.9806", "0.9604 to 0.9921", "pass"):
        assert told in text
    content = reader.images[0]["src"].removeprefix("data:image/png;base64,")
    assert base64.b64decode(content).startswith(b"\x89PNG")


def test_failures_and_warnings_are_shown():
    text = " ".join(read(failed_report()._repr_html_()).texts)
    for told in ("SIGSEGV", "latency had not settled", "random weights never give", "partial"):
        assert told in text


def test_nothing_that_was_measured_becomes_markup():
    rows = [
        attrs.evolve(accuracy_row(), metrics={f"accuracy/{EVIL}": Estimate(value=1.0, unit=EVIL, note=EVIL)}),
        attrs.evolve(performance_row(), key=f"performance/{EVIL}", scenario=EVIL),
    ]
    whole = report(rows=rows)
    evil = attrs.evolve(whole, job=attrs.evolve(whole.job, task=EVIL, backend=EVIL))
    reader = read(evil._repr_html_())
    assert "script" not in reader.tags
    assert sum(EVIL in text for text in reader.texts) >= 4
