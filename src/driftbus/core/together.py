"""The challengers of a partition's streams learn a step's outcomes together, before the streams are folded.

Each takes its own rows in its own order and sees nobody else's, so what it says is what it would say alone,
bit for bit; together they cost less (`abreast.py`) where many streams have rows.
What cannot be learnt so (a stream's first rows, odd ones, other models, the last rows of the busiest streams)
goes its own way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from driftbus.core.abreast import NARROWEST, Lanes, linear, logistic, pass_over
from driftbus.core.challenger import Challenger
from driftbus.core.linear import RATE, Linear, Run, Said
from driftbus.core.linear_models import LogisticRegression
from driftbus.core.records import Features, Json


@dataclass(slots=True, eq=False)
class Turn:
    """What one stream's challenger is shown, and what it said of each row before learning it."""

    challenger: Challenger | None
    features: Sequence[Features | None]
    labels: Sequence[Json]
    said: Said = field(default_factory=lambda: Said([], []))
    defect: Exception | None = None  # to be raised where the stream is folded, as if it learned there

    @classmethod
    def failed(cls, defect: Exception) -> Turn:
        """Of a stream whose rows could not be gathered."""
        return cls(None, (), (), defect=defect)


def learn_together(turns: Sequence[Turn]) -> None:
    """Fill in what is said in every turn."""
    going = list(turns)
    while going:
        kinds: dict[tuple[type, int], list[tuple[Turn, Linear, Run]]] = {}
        for turn in going:
            if (found := _until_run(turn)) is not None:
                model, run = found
                kinds.setdefault((type(model), run.rows.shape[1]), []).append((turn, model, run))
        going = []
        for group in kinds.values():
            if len(group) >= NARROWEST:
                _abreast(group)
            else:
                for turn, model, run in group:
                    model.learn_run(run, turn.said)
            going += [turn for turn, _, _ in group]


def _until_run(turn: Turn) -> tuple[Linear, Run] | None:
    """Learn alone until a run of plain rows comes; None when all rows are learnt."""
    model = turn.challenger
    if model is None:
        return None
    try:
        if isinstance(model, Linear):
            run = model.learn_until_run(turn.features, turn.labels, turn.said)
            return None if run is None else (model, run)
        turn.said = Said(*model.predict_then_learn(turn.features, turn.labels))
    except MemoryError:
        raise
    except Exception as error:
        turn.defect = error
    return None


def _abreast(group: Sequence[tuple[Turn, Linear, Run]]) -> None:
    """Learn a run of each stream, all of one kind and width; what is left in the end each for itself."""
    models = [model for _, model, _ in group]
    runs = [run for _, _, run in group]
    lengths = np.array([len(run.rows) for run in runs])
    starts = np.cumsum(lengths) - lengths
    targets = [target for run in runs for target in run.targets]
    moments = [model.moments for model in models]
    lanes = Lanes(
        rows=np.concatenate([*(run.rows for run in runs), runs[0].rows[:1]]),
        targets=np.array([*targets, 0.0]),
        said=np.empty(len(targets) + 1),
        next=starts.copy(),
        left=lengths,
        counts=np.array([these.counts for these in moments]).T,
        origins=np.array([these.origins for these in moments]).T,
        sums=np.array([these.sums for these in moments]).T,
        squares=np.array([these.squares for these in moments]).T,
        weights=np.array([[model.outputs[0][0], *model.outputs[0][1]] for model in models]).T,
    )
    pass_over(lanes, RATE, logistic if isinstance(models[0], LogisticRegression) else linear)
    columns = zip(*(column.T.tolist() for column in lanes[5:]), strict=True)
    places = zip(starts.tolist(), lanes.next.tolist(), strict=True)
    for (turn, model, run), state, (start, stop) in zip(group, columns, places, strict=True):
        these, output = model.moments, model.outputs[0]
        these.counts, these.origins, these.sums, these.squares, weights = state
        output[0], output[1] = weights[0], weights[1:]
        taken = stop - start
        model.take(lanes.said[start:stop].tolist(), run.targets[:taken], turn.said)
        if taken < len(run.rows):
            model.learn_run(Run(run.rows[taken:], run.targets[taken:]), turn.said)
