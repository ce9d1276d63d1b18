"""What speaks for and against a retrain, in plain words: from a request's `evidence`, as it was published."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from driftbus.core.shape import fits

_RETRAINING = {"verdict": str, "gain": float, "low": float, "high": float, "rows": int}
_EARLIER = {"model_version": str}
_TRIED = {"request_id": str, "model_version": str, "error": float, "before": float, "during": float}

_VERDICTS = {
    "likely": "retraining is likely to help",
    "doubtful": "it is doubtful that retraining helps",
}


def grounds(evidence: Mapping[str, Any]) -> list[str]:
    """Sentences without a full stop; what is absent, or of another shape, is passed over."""
    found = []
    tried: Any = evidence.get("tried")
    earlier: Any = evidence.get("earlier_state")
    judged: Any = evidence.get("retraining")
    if fits(tried, _TRIED):
        now, before, during = (f"{tried[name]:.3g}" for name in ("error", "before", "during"))
        found.append(
            f"{tried['model_version']}, deployed for request {tried['request_id']}, has not helped: "
            f"its error is {now}, {before} before the change and {during} in it"
        )
    if fits(earlier, _EARLIER):
        found.append(f"the world is again as it was for {earlier['model_version']}: it may do again")
    if fits(judged, _RETRAINING) and judged["verdict"] in _VERDICTS:
        gain, low, high = (f"{judged[name]:.3g}" for name in ("gain", "low", "high"))
        found.append(
            f"{_VERDICTS[judged['verdict']]}: the challenger, which learns on, has gained "
            f"{gain} ({low} to {high}) an outcome over {judged['rows']:,} of them"
        )
    return found
