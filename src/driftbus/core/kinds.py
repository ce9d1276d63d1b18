"""Of what kind an open episode of the error is: what its course says, and what is known beside that. Pure.

recurrent       an earlier state of the world has returned (`core.states`), however it came
incremental     the error rises and rises, and does not settle
sudden, gradual a step, or a rise that settles (`core.verdict`)
"""

from __future__ import annotations

from driftbus.core.episode import Episode, figure
from driftbus.core.records import EarlierState

# An earlier state that holds again, and how sure that is.
Returned = tuple[EarlierState, float]


def name_kind(episode: Episode, returned: Returned | None) -> None:
    """Bring what is told of an episode up to date."""
    episode.kind, episode.confidence, episode.earlier = episode.shape, episode.shape_confidence, None
    if returned is not None:
        episode.earlier, confidence = returned
        episode.kind, episode.confidence = "recurrent", figure(confidence)
