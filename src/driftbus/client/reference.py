"""What a training set comes to, for `Emitter.model_event("fraud", "reference-set", …)`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any


def training_reference(
    rows: Iterable[Mapping[str, Any]],
    *,
    categorical: tuple[str, ...] = (),
    redact: tuple[str, ...] = (),
    ordered: bool = False,
) -> dict[str, Any]:
    """The summaries of a training set's rows, each a mapping feature → value: of a number mean, deviation and
    quantiles, of a category the shares of its values, of both how many are missing. No rows.

    `categorical`, `redact`: globs as in the configuration's `features`; what is redacted is left out.
    `ordered`: the rows are in the order of time. Raises `ValueError` without rows.

        emitter.model_event("fraud", "reference-set", model_version="v4", reference=training_reference(rows))
    """
    # Inference services, which import this package too, need none of it.
    from driftbus.core.reference_summary import TrainingRows
    from driftbus.core.settings import FeaturePolicy

    training = TrainingRows(FeaturePolicy(categorical=categorical, redact=redact), ordered=ordered)
    for row in rows:
        training.add(row)
    if not training.rows:
        raise ValueError("a training set without rows")
    return training.reference()[0].as_json()
