"""What each key of the configuration does, in a line or two: for docs/configuration.md and `driftbus init`.

Keys of one stream stand without `stream_defaults.` before them. Backticks as in Markdown.
"""

from __future__ import annotations

TEXTS = {
    "bus": "`kafka`, or `embedded`: one machine, one file, the same promises.",
    "kafka": "Properties of librdkafka as they stand, consumer's and producer's mixed, `security.*`, `sasl.*`, `ssl.*` "
    "included; text, numbers or booleans. driftbus sets `group.id`, `transactional.id`, `isolation.level`, commits and "
    "offset reset itself. Secrets are never shown.",
    "embedded.path": "Folder of the embedded bus; made if missing. Not on a network file system.",
    "group": "Name of the consumer group; transactional ids begin with it.",
    "instance": "CloudEvents' `source` of what is published: a URI reference.",
    "worker_id": "Names this worker in its group and its transactions. Two workers must never share one at the same time: "
    "the later one fences the earlier.",
    "topic_prefix": "What the names of all nine topics begin with; may be empty.",
    "topics": "A topic's whole name, by its short one (`topics: {drift_events: risk.drift}`). Keys: {topics}.",
    "partitioner": "How producers choose a partition for a key: `murmur2_random` (Java's default) or `consistent_random` "
    "(librdkafka's own). All producers of the inputs must use it.",
    "http.enabled": "Whether metrics, health and the page are served.",
    "http.host": "Address to listen on. Beyond loopback it should have a token and TLS, or a proxy or network policy before it.",
    "http.port": "Port to listen on; 0 takes a free one. The workers of `--processes N` take this and the N - 1 ports after it.",
    "http.tls.cert": "PEM file of a certificate (with its chain): everything is then served over TLS only. SIGHUP reads it anew.",
    "http.tls.key": "PEM file of its key, where that is not in the same file.",
    "http.token": "What whoever asks has to show, as `Authorization: Bearer TOKEN` or as the password of a browser's login, "
    "everywhere but at `/livez` and `/readyz`. Better from the environment (`DRIFTBUS_HTTP__TOKEN`) or from a file. Never shown.",
    "http.token_file": "A file that holds the token. SIGHUP reads it anew.",
    "http.peers": "Where the group's other workers listen, so that the page of each shows every stream of the group: addresses "
    "(`http://worker-2:8711`), or `dns+http://workers:8711` for all that a name stands for. A worker may stand in its own list. They are shown "
    "this worker's token; a certificate must be trusted by this machine, or be this worker's own. `--processes N` fills it by itself.",
    "worker.max_records": "Records of one step (one transaction) at most.",
    "worker.commit_interval": "How long a step gathers records when few come.",
    "worker.restart": "A fenced worker begins anew in the same process, instead of ending with exit code 1.",
    "worker.restart_wait": "How long it waits before.",
    "worker.stall_timeout": "A loop that has not moved for so long is ended, with exit code 70; the log says what it hung in. Longer than `transaction.timeout.ms` and 5 s.",
    "worker.max_dead_letter_ratio": "Where more than this share of an input partition's last records (1,000 to 10,000 of them) "
    "cannot be used, the worker stops with exit code 1 and commits nothing of that step, rather than drain the topic into the "
    "dead letters. Late and orphan labels and what `limits.max_streams` refuses never count. The count survives a restart; 1 "
    "lets everything pass, and forgets it.",
    "limits.max_pending": "Predictions that wait for labels; the oldest expire early beyond it.",
    "limits.max_early_labels": "Labels that wait for their predictions.",
    "limits.max_remembered": "Ids of completed pairs that are remembered; a pair replayed after it was forgotten is a new pair.",
    "limits.max_streams": "Streams of a partition; events of further ones are dead-lettered.",
    "limits.max_slices": "Slices of a stream.",
    "limits.max_versions": "Model versions of a stream that are watched at once.",
    "limits.max_classes": "Classes of a classifier that are counted one by one.",
    "limits.max_categories": "Categories of a categorical feature that are counted one by one.",
    "limits.max_record_bytes": "Size of an input record, bytes.",
    "limits.max_exported_streams": "Streams with series of their own on `/metrics`.",
    "limits.max_challenger_bytes": "Size of one challenger, bytes; its state is part of snapshots.",
    "include": "Further files, relative to this one (`conf.d/*.yaml`), each over what came before.",
    "ingest.wait": "How long a request or response waits for its other half, by the clock of the `driftbus ingest` that holds it; "
    "then it goes to the dead letters.",
    "ingest.max_waiting": "Halves that one `driftbus ingest` holds; beyond it the oldest go to the dead letters, counted.",
    "ingest.max_waiting_bytes": "The same in bytes.",
    "ingest.halves_topic": "The (compacted) topic in which halves wait.",
    "ingest.sources": "Foreign topics to read, each by a name of your choice; `docs/configuration.md` has their keys.",
    "task": "`classification`, `regression`, `none` (custom signals alone), or `auto`: decided from the first 500 outcomes.",
    "positive_label": "The class that precision, recall, F1 and a single `score` are about.",
    "labels": "Copied into events and `driftbus_stream_info`: team, severity, ….",
    "sample": "Share of `prediction_id`s that is kept, by hash: both events of a pair or none.",
    "join.horizon": "How long a prediction waits for its label.",
    "join.grace": "How long after the horizon a label of an expired prediction is a correction.",
    "join.expired_label": "The label of a prediction that had none at the horizon; without it no outcome is made.",
    "join.dead_letter_unmatched": "Late and orphan labels go to the dead letters; else they are only counted.",
    "features.watch": "Globs of features that are watched without labels.",
    "features.ignore": "Globs of features that are not.",
    "features.categorical": "Globs of features that are categories though they are numbers.",
    "features.max": "Features watched of a stream, the first that came.",
    "features.redact": "Globs of features never shown by value: in metrics, logs, events, pages.",
    "signals.error": "What watches the error: `auto`, `off`, detectors by name, or with parameters: `[{adwin: {delta: 0.001}}]`.",
    "signals.score": "The same for the score.",
    "signals.features": "The same for each feature's level or frequencies.",
    "signals.quality": "The same for missing, unseen and out-of-range values.",
    "signals.challenger_gap": "The same for how much better the challenger is.",
    "signals.custom": "Signals that producers send: per name `better` (`higher` or `lower`: which direction is no harm) and `detectors`.",
    "challenger": "The River model that learns beside production: `auto` (scaled logistic or linear regression), `off`, or "
    "one by name, with parameters: `{hoeffding_tree: {max_depth: 8}}`.",
    "false_alarms": "Budget of false alarms of the error, per model version in event time; `1 per 7d among 200`: of so many streams "
    "together. Never more than 0.1 per 100,000 outcomes.",
    "retrain.mode": "`auto`; `propose`: requests are published with status `proposed`; `off`.",
    "retrain.on_drift": "Whether an episode asks for a retrain.",
    "retrain.kinds": "Kinds of change that ask.",
    "retrain.categories": "Categories of change that ask.",
    "retrain.without_labels": "Whether changes without labelled rows ask too.",
    "retrain.hold_doubtful": "Whether a request for drift waits while the challenger shows that retraining would help little.",
    "retrain.when": "Performance rules of the current version: `f1 < 0.70 over 1000` (outcomes), `accuracy < 0.9 over 2h`. "
    "Each fires once, and re-arms on recovery or deployment.",
    "retrain.every": "A schedule, from the last deployment, else the first outcome: `30d`.",
    "retrain.cooldown": "Time between requests, from the last request or deployment, whichever is later.",
    "retrain.min_rows": "Rows since the onset before a request goes out.",
    "retrain.min_rows_per_class": "The same for each class.",
    "retrain.max_wait": "After so long a request goes out with what rows there are, and says so.",
    "retrain.timeout": "A request without an answer for so long counts as failed.",
    "retrain.max_attempts": "How often one request is published in all.",
    "metrics.windows": "Sliding windows of the metrics: numbers of outcomes, or durations.",
    "metrics.custom": "Metrics of one's own: dotted paths of classes.",
}  # fmt: skip

# Keys of one entry of `ingest.sources`.
SOURCE_TEXTS = {
    "format": "{formats}.",
    "topics": "The topics to read. Several sources may read one topic, each what its `when` lets through.",
    "when": "Only records that have these values: `{type: click, $attribute.component: [predictor]}`. Others are left out, and counted.",
    "rows": "Of `json`: the array along which a record is cut; paths then begin in its elements, `$record.PATH` in the record.",
    "join": "Of `kserve` and `seldon`: whether requests and responses are joined. `false`: responses are taken alone, without features.",
    "join_id": "Of `kserve` and `seldon`: the id that both halves have, where it is not the format's own.",
    "stream": "The stream. Text with `{PATH}` in it; without braces it is what it says.",
    "prediction_id": "The id that joins a prediction and its label. Where the rows of a record share it, row n is `ID#n`, from 0.",
    "ts": "The time; else the record's own. `{path: PATH, unit: s}` for numbers that are not milliseconds: `s`, `ms`, `us`, `ns`.",
    "prediction": "What was predicted. A list of one is its value.",
    "output": "What stands there: `value`, the prediction itself; `score`, the positive class's probability, which `threshold` cuts; "
    "`probabilities`, a list or an object, of which the greatest is the prediction.",
    "threshold": "From which score on the prediction is the second of `classes`.",
    "classes": "The classes: of `score` two, of `probabilities` one for each element. Else 0, 1, ….",
    "score": "The score, where it stands apart.",
    "features": "An object, an array (named by `columns`), or a path for each name: `{amount: order.total}`. `$rest`: every field that "
    "nothing else of the source takes. `null`: none.",
    "columns": "Names for features that come without: arrays, CSV, a tensor with a row of several values.",
    "model_version": "The model's version.",
    "role": "`production`, `canary` or `shadow`; text with `{PATH}` in it.",
    "slices": "A path for each slice: `{region: customer.region}`.",
    "signals": "An object of numbers, or a path for each.",
    "weight": "The weight.",
    "label": "What was true. A record may hold a prediction, a label, or both.",
    "label_ts": "The label's time, where it is not `ts`.",
    "label_signals": "Signals that come with the label.",
}  # fmt: skip
