"""How striking a change has to be, from a budget of false alarms.

A likelihood ratio over all onsets tries every length m of the newest stretch. In n values there are about
n/m independent stretches of length m, so for each length to get the same share of a budget of `rate`
alarms per value the ratio has to reach

    h(m) = ln(1 / (rate · m)) + 1.5 ln ln(1 / rate) + c

The first term is what n/m tries cost; the second comes from the boundary-crossing probability of a maximised
ratio, which is about h^1.5 e^-h per value (Siegmund & Venkatraman, Using the generalized likelihood ratio
statistic for sequential detection of a change-point, Annals of Statistics 23, 1995); c is measured. As h
does not know n, a stream is as likely to be accused in its first hour as in its tenth year.
"""

from __future__ import annotations

from math import log

# Alarms per value that are promised at most, however slow a stream is: 0.1 per 100,000.
MOST = 1e-6
# Without an upper limit a budget as rare as one in 10^12 values would be as good as none, and ln would
# not mind either; this only keeps the formula's numbers ordinary.
LEAST = 1e-15
# No ratio below is an alarm, however long the stretch: at a budget of 1e-6 that concerns lengths from 30,000
# values on.
FLOOR = 8.0


def at_least(rate: float, c: float) -> float:
    """h(m) + ln m (before FLOOR): what a ratio and the logarithm of its length have to add up to."""
    tries = -log(min(max(rate, LEAST), 0.1))
    return tries + 1.5 * log(tries) + c
