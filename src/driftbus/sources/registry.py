"""Every format by its name."""

from __future__ import annotations

from collections.abc import Mapping

from driftbus.sources.formats import (
    any_json,
    arize,
    bentoml,
    comet,
    databricks,
    kserve,
    sagemaker_capture,
    sagemaker_ground_truth,
    seldon,
)
from driftbus.sources.formats.form import Form

FORMS: Mapping[str, Form] = {
    each.FORM.name: each.FORM
    for each in (
        kserve, seldon, bentoml, sagemaker_capture, sagemaker_ground_truth, databricks, arize, comet,
        any_json,
    )
}  # fmt: skip
