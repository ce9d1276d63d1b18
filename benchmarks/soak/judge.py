"""What was measured, against bounds, as a table."""

from __future__ import annotations

from dataclasses import dataclass, field

import orjson
from benchmarks.soak.watch import Sample, slope

from driftbus.config import Settings
from driftbus.ports import Bus

# Nothing that Python leaves behind for an outcome is smaller: a float is 24 bytes, an integer 28, and the
# shortest id 50; half of the least of them, since slopes are estimates.
LEAK_BYTES = 12
# The first part of a soak fills what is bounded (ids, histories, caches), the rest must be even.
SETTLED_RATIO = 0.4
# A worker that keeps up has a lag that is noise: one that lost a hundredth of its input would show it.
LAG_RATIO = 0.01
# Files that a request for metrics or a connection may have open at the moment of a sample.
FILES_SPARE = 5
# What a worker may hold back of each of two inputs, in records: four steps' worth (`worker._align`), and one
# more that is polled; each some 1,100 bytes as a record, and twice that decoded beside it.
HELD_RECORDS = 2 * 5 * 5_000
HELD_BYTES = 3_500


@dataclass
class Verdict:
    """Lines of a table, and whether every bound held."""

    lines: list[tuple[str, str, str, bool]] = field(default_factory=list)

    @property
    def held(self) -> bool:
        return all(ok for *_, ok in self.lines)

    def expect(self, what: str, found: float, bound: float) -> None:
        """That they are equal."""
        self.lines.append((what, f"{found:,}", f"{bound:,}", found == bound))

    def at_most(self, what: str, found: float, bound: float, unit: str) -> None:
        self.lines.append((what, f"{found:,.2f} {unit}", f"≤ {bound:,.2f}", found <= bound))

    def at_least(self, what: str, found: float, bound: float, unit: str) -> None:
        self.lines.append((what, f"{found:,.2f} {unit}", f"≥ {bound:,.2f}", found >= bound))

    def say(self, what: str, found: str) -> None:
        self.lines.append((what, found, "", True))

    def text(self) -> str:
        rows = [
            f"| {w} | {f} | {b} | {'' if not b else 'yes' if ok else '**no**'} |"
            for w, f, b, ok in self.lines
        ]
        return "\n".join(["| what | found | bound | held |", "|---|--:|--:|---|", *rows])

    def joined_once(self, bus: Bus, settings: Settings, partitions: int, pairs: int) -> None:
        """Each pair is in `outcomes` once, and `seq` has no gap."""
        topic = settings.topics["outcomes"]
        times, gaps = bytearray(pairs), 0
        for number in range(partitions):
            for expected, record in enumerate(bus.read_from(topic, number, 0)):
                outcome = orjson.loads(record.value or b"null")
                gaps += outcome["seq"] != expected
                times[int(outcome["prediction_id"][1:])] += 1
        self.expect("pairs joined once", times.count(1), pairs)
        self.expect("gaps in seq", gaps, 0)


def soaked(capacity: float, rate: float, during: list[Sample], drained_s: float) -> Verdict:
    """An even load: memory, files and lag do not grow."""
    verdict = Verdict()
    settled = during[int(len(during) * SETTLED_RATIO) :]
    first, last = settled[0], settled[-1]
    seconds = last.t_s - first.t_s
    done = (last.committed - first.committed) / 2 / seconds
    verdict.say("capacity", f"{capacity:,.0f} pairs/s")
    verdict.say("fed", f"{rate:,.0f} pairs/s")
    verdict.say("minutes judged", f"{seconds / 60:.1f} of {(last.t_s - during[0].t_s) / 60:.1f}")
    verdict.say("CPU of the worker", _cores(first, last))
    rss = [sample.rss_mib for sample in settled]
    verdict.say("RSS, least to most", f"{min(rss):.1f} to {max(rss):.1f} MiB")
    per_s = slope([(sample.t_s, sample.rss_mib) for sample in settled]) * 2**20
    verdict.at_most("RSS slope per outcome", per_s / done, LEAK_BYTES, "B")
    files = [sample.files for sample in settled]
    verdict.at_most("open files, most over first", max(files) - files[0], FILES_SPARE, "files")
    lags = sorted(sample.lag for sample in settled)
    verdict.say("lag, median and most", f"{lags[len(lags) // 2]:,}, {lags[-1]:,} records")
    grown = slope([(sample.t_s, sample.lag) for sample in settled])
    verdict.at_most("lag slope per record fed", grown / (2 * rate), LAG_RATIO, "")
    verdict.say("steps, mean time", _step(first, last))
    verdict.say("of the first and the last third", ", ".join(_step(*ends) for ends in _thirds(settled)))
    verdict.say("drained after", f"{drained_s:.1f} s")
    return verdict


def overloaded(
    capacity: float,
    fed: float,
    before: list[Sample],
    during: list[Sample],
    after: list[Sample],
    drained_s: float,
) -> Verdict:
    """Too much: the lag grows, memory by no more than what is held back; all of it is made up for."""
    verdict = Verdict()
    verdict.say("capacity", f"{capacity:,.0f} pairs/s")
    verdict.say("fed", f"{fed:,.0f} pairs/s")
    # On a shared machine capacity is another while the feeder does its worst: what was taken then counts.
    first, last = during[0], during[-1]
    taken = (last.committed - first.committed) / 2 / (last.t_s - first.t_s)
    verdict.at_least("of what was committed meanwhile", fed / taken, 2.5, "times")
    # Else memory was not put to the test: all of the lag could have been held.
    verdict.at_least("lag, most", max(sample.lag for sample in during), HELD_RECORDS, "records")
    begins = max(sample.rss_mib for sample in before)
    most = max(sample.rss_mib for sample in after)
    verdict.say("RSS before, at full load", f"{begins:.1f} MiB")
    verdict.at_most("RSS, most over that", most - begins, HELD_RECORDS * HELD_BYTES / 2**20, "MiB")
    verdict.say("CPU of the worker", _cores(during[0], after[-1]))
    verdict.say("recovered after", f"{drained_s:.1f} s")
    verdict.say("steps, mean time", _step(during[0], after[-1]))
    verdict.expect("lag in the end", after[-1].lag, 0)
    return verdict


def _thirds(samples: list[Sample]) -> list[tuple[Sample, Sample]]:
    third = max(1, len(samples) // 3)
    return [(samples[0], samples[third]), (samples[-1 - third], samples[-1])]


def _cores(first: Sample, last: Sample) -> str:
    """What the worker had of the machine, and for how long others kept it waiting."""
    seconds = last.t_s - first.t_s
    used, waited = (last.cpu_s - first.cpu_s) / seconds, (last.waited_s - first.waited_s) / seconds
    return f"{used:.2f} cores, ready without one {waited:.0%} of the time"


def _step(first: Sample, last: Sample) -> str:
    steps = last.steps - first.steps
    return f"{1000 * (last.steps_s - first.steps_s) / max(1.0, steps):.1f} ms"
