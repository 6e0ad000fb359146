"""What a backend is asked: values that cannot be are refused where they are made, also in the guest's stand-in."""

import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import bytemlperf.issuer
from bytemlperf.backends import seam
from bytemlperf.errors import SpecError
from bytemlperf.sample import Generation, Score

GUEST = Path(bytemlperf.issuer.__file__).parent / "guest"
WRONG = [
    ("temperature", math.nan),
    ("temperature", math.inf),
    ("temperature", -1),
    ("temperature", "1"),
    ("top_p", 0),
    ("top_p", 2),
    ("top_p", math.nan),
    ("top_k", -1),
    ("top_k", 1.5),
    ("max_new_tokens", 0),
    ("max_new_tokens", -3),
    ("max_new_tokens", True),
    ("min_new_tokens", -1),
    ("min_new_tokens", 9),
    ("seed", -1),
    ("stop", [-1]),
    ("logits", 1),
]


@pytest.mark.parametrize(("name", "value"), WRONG)
def test_a_generation_that_cannot_be_is_refused_by_its_field(name, value):
    with pytest.raises(SpecError) as caught:
        Generation(**{"max_new_tokens": 8, name: value})
    assert caught.value.where in {f"$.{name}", "$.stop"}


def test_bounds_themselves_are_fine_and_lists_become_tuples():
    ask = Generation(max_new_tokens=1, min_new_tokens=1, temperature=0, top_k=0, top_p=1, seed=0, stop=[0])
    assert (ask.stop, ask.temperature, ask.top_p) == ((0,), 0.0, 1.0)
    assert seam.ask_of(json.loads(json.dumps(seam.ask_to(ask)))) == ask


def test_numbers_of_numpy_are_no_plain_ones_and_named():
    with pytest.raises(SpecError, match="max_new_tokens"):
        Generation(max_new_tokens=np.int64(3))


TELL = """
import json, math, sys
sys.path.insert(0, sys.argv[1])
from bytemlperf.errors import SpecError
from bytemlperf.values import Generation, Score

def told(kind, fields):
    try:
        kind(**fields)
    except SpecError as error:
        return error.where
    return None

wrong = json.loads(sys.argv[2])
print(json.dumps({
    "generations": [told(Generation, dict({"max_new_tokens": 8}, **{name: value})) for name, value in wrong],
    "scores": [told(Score, fields) for fields in (
        {}, {"spans": ((0, 1),)}, {"spans": ((2, 2),)}, {"continuations": ((),)})],
    "right": [told(Generation, {}),
              told(Generation, {"max_new_tokens": 1, "min_new_tokens": 1, "top_p": 1, "stop": (0,)}),
              told(Score, {"spans": ((1, 2),)})],
}))
"""


def test_the_guest_refuses_what_the_package_refuses():
    command = [sys.executable, "-c", TELL, str(GUEST), json.dumps(WRONG)]
    told = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    assert told["generations"] == [f"$.{name}" for name, _ in WRONG]
    assert told["scores"] == ["$.spans", "$.spans", "$.spans", "$.continuations"]
    assert told["right"] == [None, None, None]
    for fields in ({}, {"spans": [(0, 1)]}, {"spans": [(2, 2)]}, {"continuations": [()]}):
        with pytest.raises(SpecError):
            Score(**fields)
