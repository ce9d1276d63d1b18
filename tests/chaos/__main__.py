"""`make chaos`: rounds of chaos until the time is over. Exit code 1 when a promise was broken."""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from tests.integration.broker import Broker

from .rounds import BROKER, BrokersFault, Plan, Result, Round


def main() -> int:
    parser = argparse.ArgumentParser(prog="make chaos", description=__doc__)
    parser.add_argument("--minutes", type=float, default=15.0, help="begin no round after this (15)")
    parser.add_argument("--seed", type=int, help="of the first round; each further one counts up")
    parser.add_argument("--verbose", action="store_true", help="tell every event as it happens")
    args = parser.parse_args()
    seed = random.randrange(1_000_000) if args.seed is None else args.seed
    print(f"seed {seed}", flush=True)
    until = time.monotonic() + args.minutes * 60
    results: list[Result] = []
    rounds = lost = 0
    folder = Path(tempfile.mkdtemp(prefix="driftbus-chaos-"))
    with Broker(overrides=BROKER) as broker:
        while not rounds or time.monotonic() < until:
            # The combinations of one or two kills of the broker and both protocols, in turn.
            protocol = ("classic", "consumer")[rounds // 2 % 2]
            plan = Plan(seed + rounds, broker_kills=1 + rounds % 2, protocol=protocol)
            begun = time.monotonic()

            def tell(text: str, begun: float = begun, plan: Plan = plan) -> None:
                if args.verbose:
                    print(f"  {plan.seed} {time.monotonic() - begun:6.1f} s  {text}", flush=True)

            place = folder / str(plan.seed)
            place.mkdir()
            rounds += 1
            try:
                result = Round(broker, plan, place, tell).run()
            except BrokersFault as error:
                lost += 1
                shutil.copy(broker.log_file, place / "broker.log")
                print(f"seed {plan.seed}: not judged, Kafka lost markers (KAFKA-20734): {error}", flush=True)
                print(f"  because of: {error.__cause__}; logs are in {place}", flush=True)
                continue
            except BaseException:
                shutil.copy(broker.log_file, place / "broker.log")
                print(f"round with seed {plan.seed} is broken; logs are in {place}", flush=True)
                raise
            shutil.rmtree(place)
            results.append(result)
            print(_line(result), flush=True)
            for line in broker.lost_markers(f"chaos-{plan.seed}."):
                print(f"  every check held, though Kafka lost markers: {line}", flush=True)
    if not lost:
        folder.rmdir()
    _summary(results, lost)
    return 0 if results else 1


def _line(result: Result) -> str:
    c = result.checked
    return (
        f"seed {result.plan.seed}, {result.plan.protocol}: {result.took_s:.0f} s, "
        f"{sum(result.ended.values())} blows to workers, {result.broker_kills} to the broker; "
        f"{c.steps} steps, {c.outcomes} outcomes, {c.drift_events} drift events, {c.requests} requests, "
        f"{c.dead_letters} dead letters: all as the fold says"
    )


def _summary(results: list[Result], lost: int) -> None:
    ended: Counter[str] = Counter()
    for result in results:
        ended += result.ended
    minutes = sum(result.took_s for result in results) / 60
    print(f"\n{len(results)} rounds, {minutes:.1f} minutes, all as promised")
    if lost:
        print(f"{lost} further rounds not judged: Kafka lost markers")
    print(f"{sum(result.broker_kills for result in results)} kill -9 of the broker")
    for name, number in sorted(ended.items()):
        print(f"{number:5d}  {name}")


if __name__ == "__main__":
    sys.exit(main())
