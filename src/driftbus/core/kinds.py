"""Of what kind an open episode of the error is: what its course says, and what is known beside that. Pure.

recurrent       an earlier state of the world has returned (`core.states`), however it came
incremental     the error rises and rises: over more rows than one change takes (`verdict.LASTING_ROWS`), or
                    in three steps and more, none of which settled before the next
sudden, gradual a step, or a rise that settles (`core.verdict`)
"""

from __future__ import annotations

from driftbus.core.episode import Episode, figure
from driftbus.core.records import EarlierState

# An earlier state that holds again, and how sure that is.
Returned = tuple[EarlierState, float]


# Posterior of a very long rise from which it is told, and under which that is taken back: of staircases of
# five steps 2,000 rows apart, and of errors that rise for 15,000 rows, 9 in 10 are told after 9,500 to 11,000
# rows; of lines over 8,000 rows 1 in 5 is for a while. See docs/adr/earlier-states.md.
LASTING, STILL_LASTING = 0.9, 0.75
# Rises in a row that are a staircase: two are two changes.
STAIRCASE = 3


def name_kind(episode: Episode, returned: Returned | None) -> None:
    """Bring what is told of an episode up to date."""
    incremental = episode.kind == "incremental"
    episode.kind, episode.confidence, episode.earlier = episode.shape, episode.shape_confidence, None
    if episode.steps >= STAIRCASE:
        episode.kind, episode.confidence = "incremental", max(LASTING, episode.lasting)
    elif episode.shape == "gradual" and episode.lasting >= (STILL_LASTING if incremental else LASTING):
        episode.kind, episode.confidence = "incremental", episode.lasting
    if returned is not None:
        episode.earlier, confidence = returned
        episode.kind, episode.confidence = "recurrent", figure(confidence)
