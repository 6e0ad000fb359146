"""What to evaluate of a model, whatever backend runs it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Final

import attrs

from bytemlperf.errors import SpecError
from bytemlperf.scenarios import FixedBatch, Scenario, Seeds
from bytemlperf.spec import ModelSpec
from bytemlperf.spec.fields import as_dict, as_tuple, at_least, choice, instance, optional_tuple
from bytemlperf.spec.recipe import ConfigValue
from bytemlperf.workload.acceptance import Acceptance
from bytemlperf.workload.bounds import TokenBounds
from bytemlperf.workload.prompts import Lengths


class Check(StrEnum):
    """What a job measures."""

    COMPILE = "compile"
    ACCURACY = "accuracy"
    NUMERIC = "numeric"
    PERFORMANCE = "performance"
    INTEGRITY = "integrity"
    """Every test of integrity; `Workload.integrity` asks for some of them."""


MEASURED: Final = (Check.COMPILE, Check.ACCURACY, Check.NUMERIC, Check.PERFORMANCE)
"""What a job measures unless it says otherwise."""


class Integrity(StrEnum):
    """Whether what is measured is what it seems to be: after MLPerf's compliance tests.

    Source: mlcommons/inference at b66003e, folder `compliance`.
    """

    ACCURACY_IN_PERFORMANCE = "accuracy_in_performance"
    """Answers taken from a timed run are those of an accuracy run: TEST01."""
    CACHING = "caching"
    """The same sample again and again is not answered faster than others: TEST04."""
    TOKEN_COUNT = "token_count"  # noqa: S105 - no password
    """As many tokens come as are counted: TEST06."""


class Asked(StrEnum):
    """What is asked of a model.

    `bytemlperf.sample` says what each answer holds: `Forward`, `Generation` and `Score`.
    """

    FORWARD = "forward"
    """The model's outputs; of a language model its logits."""
    GENERATE = "generate"
    """New tokens after prompts."""
    SCORE = "score"
    """How likely the tokens of a data set are: log-likelihoods, reduced inside the backend."""


@attrs.frozen(kw_only=True)
class DatasetRequest:
    """Which data set, and how it is opened.

    Attributes:
        name: Registered name; `synthetic` makes seeded tensors that fit the model.
        options: Keyword arguments of its loader, such as `path`.
        samples: Only that many, from the start; None for all.
    """

    name: str
    options: Mapping[str, ConfigValue] = attrs.field(factory=dict, converter=as_dict)
    samples: int | None = attrs.field(default=None, validator=at_least(1, optional=True))


def as_dataset_request(value: str | DatasetRequest | None) -> DatasetRequest | None:
    """Take a name for a request without options."""
    return DatasetRequest(name=value) if isinstance(value, str) else value


def _as_checks(value: Iterable[str | Check]) -> tuple[Check, ...]:
    convert = choice(Check)
    chosen = {convert(each) for each in value}
    return tuple(check for check in Check if check in chosen)


def _as_integrity(value: Iterable[str | Integrity]) -> tuple[Integrity, ...]:
    convert = choice(Integrity)
    chosen = {convert(each) for each in value}
    return tuple(each for each in Integrity if each in chosen)


def _as_asked(value: str | Asked | None) -> Asked | None:
    return None if value is None else choice(Asked)(value)


def _batch_sizes(_: object, __: object, value: tuple[int, ...] | None) -> None:
    if value is None:
        return
    right = {size for size in value if type(size) is int and size > 0}
    if not value or len(right) != len(value):
        raise SpecError("batch sizes are not distinct whole numbers above 0", where="$.batch_sizes", got=value)


def _distinct_scenarios(_: object, __: object, value: tuple[object, ...]) -> None:
    keys = {each.key for each in value if isinstance(each, Scenario)}
    if len(keys) != len(value):
        raise SpecError("scenarios are not distinct scenarios", where="$.scenarios", got=value)


@attrs.frozen(kw_only=True)
class Workload:
    """What to evaluate.

    Attributes:
        task: Task name of a model.
        model: The model itself where it is in no catalog.
        weights: `pinned` (the catalog's source), `random`, a path, or `sha256:...` of an artifact given beside.
        dataset: Evaluation data; None takes the model's own, or `synthetic` where it has none.
        checks: What is measured.
        batch_sizes: What the engine is compiled for, a row each; None takes the model's own. A query of `FixedBatch`
            and `ClosedLoop` is such a batch; the other load patterns ask for samples, which the harness joins.
        scenarios: Load patterns, a row each.
        repeats: Independent processes for each performance row.
        asks: What the model is asked; None for `generate` where there are `prompts`, else `forward`.
        prompts: Lengths of prompts and answers, where a language model is asked to generate. With a data set the
            prompts are its texts, and only the answers' lengths count.
        bounds: What users would put up with, by which good answers of tokens are counted (goodput).
        numeric_samples: Samples whose outputs are compared with the reference.
        integrity: Tests of whether what is measured is what it seems to be; where there are none, `checks` may ask
            for all of them.
        seed: Of random weights, synthetic data, arrivals and sample order.
        seeds: Of each random stream of the load apart, such as `MLPERF_SEEDS`; None derives them from `seed`.
        acceptance: What accuracy and numerics must hold.
    """

    task: str = attrs.field(validator=instance(str))
    model: ModelSpec | None = attrs.field(default=None, validator=instance(ModelSpec, type(None)))
    weights: str = attrs.field(default="pinned", validator=instance(str))
    dataset: DatasetRequest | None = attrs.field(default=None, converter=as_dataset_request)
    checks: tuple[Check, ...] = attrs.field(default=MEASURED, converter=_as_checks)
    batch_sizes: tuple[int, ...] | None = attrs.field(default=None, converter=optional_tuple, validator=_batch_sizes)
    scenarios: tuple[Scenario, ...] = attrs.field(
        default=(FixedBatch(),), converter=as_tuple, validator=_distinct_scenarios
    )
    repeats: int = attrs.field(default=1, validator=at_least(1))
    asks: Asked | None = attrs.field(default=None, converter=_as_asked)
    prompts: Lengths | None = attrs.field(default=None, validator=instance(Lengths, type(None)))
    bounds: TokenBounds | None = attrs.field(default=None, validator=instance(TokenBounds, type(None)))
    numeric_samples: int = attrs.field(default=32, validator=at_least(1))
    integrity: tuple[Integrity, ...] = attrs.field(default=(), converter=_as_integrity)
    seed: int = attrs.field(default=0, validator=at_least(0))
    seeds: Seeds | None = attrs.field(default=None, validator=instance(Seeds, type(None)))
    acceptance: Acceptance = attrs.field(factory=Acceptance, validator=instance(Acceptance))

    @property
    def asked(self) -> Asked:
        """What the model is asked, also where it is not said."""
        if self.asks is not None:
            return self.asks
        return Asked.FORWARD if self.prompts is None else Asked.GENERATE

    @property
    def integrity_tests(self) -> tuple[Integrity, ...]:
        """The tests of integrity that are asked for, by name or all together."""
        return self.integrity or (tuple(Integrity) if Check.INTEGRITY in self.checks else ())

    @property
    def streams(self) -> Seeds:
        """The seed of each random stream; that of the weights is always `seed`."""
        return Seeds.derived(self.seed) if self.seeds is None else attrs.evolve(self.seeds, weights=self.seed)

    def __attrs_post_init__(self) -> None:
        """Refuse what does not go together, such as batches of prompts: an engine joins those that are under way."""
        generates = self.asked is Asked.GENERATE
        if generates != (self.prompts is not None):
            raise SpecError(
                "tokens are asked for by prompts" if generates else "prompts ask for tokens; something else is asked",
                where="$.prompts" if generates else "$.asks",
                got=None if generates else str(self.asked),
                remedy="give prompts=Lengths(...)" if generates else "leave out prompts, or ask to generate",
            )
        if self.bounds is not None and not generates:
            raise SpecError("bounds of tokens need prompts", where="$.bounds", remedy="give prompts=Lengths(...)")
        if self.asked is not Asked.FORWARD and self.batch_sizes not in {None, (1,)}:
            raise SpecError(
                "prompts and texts that are scored are not batched",
                where="$.batch_sizes",
                got=self.batch_sizes,
                remedy="ask for several at a time by a scenario, such as ClosedLoop(clients=4)",
            )
