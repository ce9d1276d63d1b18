"""Notes into MLflow, Weights & Biases and Comet, each by its own client, configured as that client always is:
MLFLOW_TRACKING_URI, WANDB_MODE, COMET_API_KEY … of the environment.

Each takes the same note twice without harm: a run is found again by its id, tags and files are written over.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any, Protocol

from driftbus.errors import ConfigError
from driftbus.tracking.notes import Note

# MLflow refuses what is not of these in the names of metrics; feature names may hold anything.
_MLFLOW_NAMES = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-. /")


class Tracker(Protocol):
    """Takes notes, in the order in which they were published."""

    def take(self, note: Note) -> None:
        """Returns when the client has it. What the client raises is not caught: the note comes again."""


def tracker(name: str, project: str) -> Tracker:
    """The tracker of this name. Raises `ConfigError` where its client is not installed."""
    kind, module = TRACKERS[name]
    try:
        client = import_module(module)
    except ModuleNotFoundError as missing:
        if missing.name != module:
            raise
        install = f"installed: pip install 'driftbus[{name}]'"
        raise ConfigError("driftbus track", name, f"a tracker whose client is {install}") from None
    return kind(client, project)


class _Mlflow:
    """A run in the experiment `project`, found by its tag."""

    def __init__(self, mlflow: Any, project: str) -> None:
        self._client = mlflow.MlflowClient()
        found = self._client.get_experiment_by_name(project)
        self._experiment = found.experiment_id if found else self._client.create_experiment(project)
        self._metric, self._tag = mlflow.entities.Metric, mlflow.entities.RunTag

    def take(self, note: Note) -> None:
        run = self._run(note)
        metrics = [
            self._metric(
                "".join(c if c in _MLFLOW_NAMES else "_" for c in name), value, note.ts_ms, note.step or 0
            )
            for name, value in note.metrics.items()
        ]
        tags = [self._tag(key, value) for key, value in note.tags.items()]
        self._client.log_batch(run, metrics=metrics, tags=tags)
        self._client.log_text(run, note.event.decode(), f"events/{note.name}")
        if note.over:
            self._client.set_terminated(run)

    def _run(self, note: Note) -> str:
        wanted = f"tags.`driftbus.run` = '{note.run}'"
        found = self._client.search_runs([self._experiment], wanted, max_results=1)
        if found:
            return str(found[0].info.run_id)
        tags = {"driftbus.run": note.run}
        return str(self._client.create_run(self._experiment, tags=tags, run_name=note.title).info.run_id)


class _Wandb:
    """A run whose id is the note's, resumed for each event."""

    def __init__(self, wandb: Any, project: str) -> None:
        self._wandb, self._project = wandb, project

    def take(self, note: Note) -> None:
        # W&B's own tags are words to filter by; what has a value is configuration.
        run = self._wandb.init(
            project=self._project, id=note.run, name=note.title, tags=[note.stream[:64]], resume="allow",
            config=dict(note.tags), allow_val_change=True,
        )  # fmt: skip
        try:
            run.define_metric("*", step_metric="outcomes")
            run.log({**note.metrics, **({} if note.step is None else {"outcomes": note.step})})
            run.summary.update(dict(note.tags))
            artifact = self._wandb.Artifact(f"driftbus-{note.run}", type="driftbus-event")
            with artifact.new_file(note.name, mode="wb") as file:
                file.write(note.event)
            run.log_artifact(artifact)
        finally:
            run.finish()


class _Comet:
    """An experiment whose key is the note's run, opened again for each event."""

    def __init__(self, comet: Any, project: str) -> None:
        self._comet, self._project = comet, project

    def take(self, note: Note) -> None:
        quiet = dict.fromkeys(
            (
                "log_code", "log_graph", "parse_args", "auto_output_logging", "log_env_details",
                "log_git_metadata", "log_git_patch",
            ),
            False,
        )  # fmt: skip
        config = self._comet.ExperimentConfig(
            name=note.title, tags=[note.stream], display_summary_level=0, **quiet
        )
        experiment = self._comet.start(
            project_name=self._project, experiment_key=note.run, mode="get_or_create",
            experiment_config=config,
            # Without a key there is nobody to send to: kept in COMET_OFFLINE_DIRECTORY, for `comet upload`.
            online=self._comet.get_config("comet.api_key") is not None,
        )  # fmt: skip
        try:
            experiment.log_metrics(dict(note.metrics), step=note.step)
            experiment.log_others(dict(note.tags))
            experiment.log_asset_data(note.event.decode(), name=note.name, overwrite=True)
        finally:
            experiment.end()


TRACKERS: dict[str, tuple[type[_Mlflow] | type[_Wandb] | type[_Comet], str]] = {
    "mlflow": (_Mlflow, "mlflow"),
    "wandb": (_Wandb, "wandb"),
    "comet": (_Comet, "comet_ml"),
}
