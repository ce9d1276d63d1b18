"""Performance rules, as `f1 < 0.70 over 1000`: which are broken now."""

from __future__ import annotations

from collections.abc import Sequence

from driftbus.core.policy_state import PolicyState
from driftbus.core.settings import Rule
from driftbus.core.windows import Production


def broken(rules: Sequence[Rule], state: PolicyState, production: Production) -> list[tuple[Rule, float]]:
    """The rules that are broken, with what they read; `state` keeps since when. Those that have recovered are
    armed again."""
    found = []
    for rule in rules:
        value = production.metric(rule)
        if value is None:
            continue
        if value < rule.threshold if rule.below else value > rule.threshold:
            found.append((rule, value))
            state.broken.setdefault(rule.text, state.now)
        elif state.broken.pop(rule.text, None) is not None and rule.text in state.fired:
            state.fired.remove(rule.text)
    return found
