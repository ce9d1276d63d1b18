"""What watches a stream, as it is written in a configuration: detectors, a challenger, rules, metrics.

auto                                 the default of that signal
off                                  nothing
adwin                                a detector by its name
[adwin, {kswin: {alpha: 0.001}}]     several, with parameters
{adwin: {delta: 0.001}, kswin: {}}   the same as a mapping
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable
from typing import Annotated, Any

from pydantic import PlainSerializer, PlainValidator

from driftbus.config.values import AS_LIST, OFF, checked_text, is_off, list_of, nearest, parse_rule, refuse
from driftbus.core.custom_metrics import load_class
from driftbus.core.settings import ChallengerSpec, DetectorSpec, Limits

AUTO = "auto"
# What core/metrics.py computes over a window: for classifiers, for regressors, for both.
METRICS = (
    *("accuracy", "balanced_accuracy", "precision", "recall", "f1", "kappa", "log_loss", "roc_auc"),
    *("mae", "rmse", "r2", "bias"),
    "error",
)

_DOTTED = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+")
_FORMS = "auto, off, a detector's name, or names with parameters such as [{adwin: {delta: 0.001}}]"
_ONE_MODEL = (
    "auto, off, a model's name, or one name with its parameters such as {hoeffding_tree: {max_depth: 8}}"
)


def _parameters(name: str, value: object) -> dict[str, Any]:
    """Parameters of a detector or a model: plain finite values by name."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise refuse(value, f"parameters of {name} as a mapping, such as {{{name}: {{delta: 0.001}}}}")
    for key, each in value.items():
        is_finite = not isinstance(each, float) or math.isfinite(each)
        if not is_finite or not isinstance(each, bool | int | float | str | None):
            raise refuse(each, "a finite number, text, true, false or null", at=f".{name}.{key}")
    return {key: _bare(each) for key, each in value.items()}


def _bare(value: Any) -> Any:
    """Without the memory of how a number was written: what the core gets is plain."""
    if isinstance(value, str):
        return checked_text(value)
    if isinstance(value, bool) or value is None:
        return value
    return int(value) if isinstance(value, int) else float(value)


def _named(value: object, allowed: str) -> list[tuple[str, dict[str, Any]]]:
    """Names with their parameters, from a name, a mapping, or a list of both."""
    if isinstance(value, str) and value:
        return [(value, {})]
    if isinstance(value, dict) and value:
        return [(name, _parameters(name, given)) for name, given in value.items()]
    if isinstance(value, list) and value and not any(isinstance(each, list) for each in value):
        return [pair for each in value for pair in _named(each, allowed)]
    raise refuse(value, allowed)


def parse_detectors(value: object) -> tuple[DetectorSpec, ...] | None:
    """None for `auto`, () for `off`, else the detectors named; each is built once to see that it can be."""
    if value is None or value == AUTO:
        return None
    if is_off(value) or value == []:
        return ()
    # River takes a second to import; a configuration that names no detector does not need it.
    from driftbus.core.detectors import registry

    specs = [DetectorSpec(name, given) for name, given in _named(value, _FORMS)]
    for spec in specs:
        known = registry.names()
        if spec.name not in known:
            raise refuse(spec.name, f"auto, off, {', '.join(known)}", nearest(spec.name, [AUTO, OFF, *known]))
        try:
            registry.make(spec)
        except ValueError as error:
            raise refuse(dict(spec.params), str(error), at=f".{spec.name}") from None
    return tuple(specs)


def parse_challenger(value: object) -> ChallengerSpec | None:
    """None for `off`, else one model; it is built once to see that it can be."""
    if value is None or value == AUTO:
        return ChallengerSpec()
    if is_off(value):
        return None
    from driftbus.core import challenger

    named = _named(value, _ONE_MODEL)
    if len(named) != 1:
        raise refuse(value, _ONE_MODEL)
    spec = ChallengerSpec(*named[0])
    known = challenger.names()
    if spec.name not in (AUTO, *known):
        raise refuse(spec.name, f"auto, off, {', '.join(known)}", nearest(spec.name, [AUTO, OFF, *known]))
    reasons = [reason for task in ("classification", "regression") if (reason := _cannot_make(spec, task))]
    if len(reasons) == 2:  # a model for one task only is fine
        raise refuse(dict(spec.params), reasons[0], at=f".{spec.name}")
    return spec


def _cannot_make(spec: ChallengerSpec, task: str) -> str | None:
    from driftbus.core import challenger

    try:
        challenger.make(spec, task, None, Limits())
    except ValueError as error:
        return str(error)
    return None


def parse_metric_class(value: object) -> str:
    """The dotted path of a metric class, which must be importable here and now."""
    if not isinstance(value, str) or not _DOTTED.fullmatch(value):
        raise refuse(value, "the dotted path of a class, such as my_package.metrics.Cost")
    try:
        load_class(value)
    except ValueError as error:
        raise refuse(value, f"a class such as my_package.metrics.Cost ({error})") from None
    return value


def _named_document(named: Iterable[DetectorSpec | ChallengerSpec]) -> list[Any]:
    return [{spec.name: dict(spec.params)} if spec.params else spec.name for spec in named]


def _detectors_document(value: tuple[DetectorSpec, ...] | None) -> Any:
    return AUTO if value is None else _named_document(value) or OFF


def _challenger_document(value: ChallengerSpec | None) -> Any:
    return OFF if value is None else _named_document([value])[0]


_parse_rule: Callable[[Any], Any] = lambda value: parse_rule(value, METRICS)  # noqa: E731 - one partial application

DetectorsField = Annotated[
    tuple[DetectorSpec, ...] | None, PlainValidator(parse_detectors), PlainSerializer(_detectors_document)
]
ChallengerField = Annotated[
    ChallengerSpec | None, PlainValidator(parse_challenger), PlainSerializer(_challenger_document)
]
Rules = Annotated[
    tuple[Any, ...], list_of(_parse_rule), PlainSerializer(lambda rules: [rule.text for rule in rules])
]
MetricClasses = Annotated[tuple[str, ...], list_of(parse_metric_class), AS_LIST]
