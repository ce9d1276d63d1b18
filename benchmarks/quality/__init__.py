"""The benchmark of detection: QUALITY.md's suites for driftbus, every detector, dummies and an oracle.

    make bench-quality                                        # --quick of all suites: minutes
    .venv/bin/python -m benchmarks.quality --suites s1,s3     # whole, on development seeds
    .venv/bin/python -m benchmarks.quality --quick --suites s1 --detectors driftbus,adwin,focus
    .venv/bin/python -m benchmarks.quality --seeds confirmation --write

`--detectors` names contenders: `driftbus` (the product in its default configuration), any name of the
registry (`core/detectors/registry.py`: a new detector takes part as soon as it is registered there, with its
default parameters), one with parameters of its own (`adwin:delta=0.1,clock=1`), `oracle`, `dummies`, `auto`
(what `auto` watches errors with, each detector alone), `all`. Delays are divided by an oracle's, which is
computed, not simulated.

Results are kept per cell in $XDG_CACHE_HOME/driftbus/quality and belong to the sources they were computed by:
a changed detector runs anew, and nothing else. So work on a detector goes like this: register it, run
`--quick --suites s1,s2 --detectors NAME`, change, run again; rivals cost nothing any more.

A detector reports through `Hit`: `index` is the alarm, `since` (how many values ago, counting this one) the
onset estimate. It is created anew where a stream's model is replaced. Real-valued signals reach bare
detectors scaled to [0, 1]; 0/1 signals as they are.

`--failures 20` names streams with a change missed or an episode too many.

Whoever measures a variant of the defaults adds a row to VARIANTS.md: the tables say how many were tried.

    matching.py    the protocol's rules: episodes, windows, false ones
    simulated.py   S1, S1b, S2;  recorded.py  S3, S4;  utility.py  S5
    contenders.py  who takes part;  product.py  driftbus itself;  oracle.py;  tuning.py  equal false alarms
    runs.py        processes and cache;  suites/  cells and tables;  cost.py  µs per event
"""

import os

# The processes share the cores already; threads of a linear-algebra library would only wait for each other.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
