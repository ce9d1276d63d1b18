"""Which rule a signal is watched by, told by its name."""

from __future__ import annotations

from driftbus.core.settings import SignalPlan
from driftbus.core.signals import (
    SignalRule,
    challenger_gap_rule,
    custom_rule,
    error_rule,
    log_loss_rule,
    regression_rule,
    score_rule,
)

# The watch of a custom signal that comes with labels; in events it is `custom/<name>` all the same.
LABEL_SIGNAL = "labelled/"


def named_rule(name: str, plan: SignalPlan) -> SignalRule:
    """The rule of a custom signal."""
    return custom_rule(plan, name)


def squared_error_rule(plan: SignalPlan) -> SignalRule:
    """The rule of a regressor's squared error."""
    return regression_rule(plan, "squared_error")


def rule_of(name: str, plan: SignalPlan, task: str) -> SignalRule:
    """The rule of a watch by its name."""
    for prefix in ("custom/", LABEL_SIGNAL):
        if name.startswith(prefix):
            return custom_rule(plan, name.removeprefix(prefix))
    if name in ("error", "squared_error") and task == "regression":
        return regression_rule(plan, name)
    rules = {
        "error": error_rule,
        "log_loss": log_loss_rule,
        "challenger_gap": challenger_gap_rule,
        "score": score_rule,
    }
    return rules[name](plan)
