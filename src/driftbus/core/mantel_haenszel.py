"""Evidence for a rise of the error in one group, which adds up over groups.

    E = e1 - n1 e / n,  V = n1 n0 e (n - e) / (n² (n - 1)),  E² / 2V nats

with n rows and e errors before (0), after (1) and together: E is the errors beyond what the rates before and
after together make expected, V its variance (hypergeometric). Of several groups, E and V are summed.

Paper: Mantel & Haenszel, Statistical aspects of the analysis of data from retrospective studies of disease,
Journal of the National Cancer Institute 22, 1959.
"""

from __future__ import annotations

# Rows before a change and errors among them, rows after it and errors among them.
Table = tuple[int, int, int, int]


def excess(table: Table) -> tuple[float, float]:
    """(E, V); nothing where one side has no rows."""
    n0, e0, n1, e1 = table
    n, e = n0 + n1, e0 + e1
    if not n0 or not n1:
        return 0.0, 0.0
    return e1 - n1 * e / n, n1 * n0 * e * (n - e) / (n * n * (n - 1.0))


def nats(beyond: float, variance: float) -> float:
    """Of E and V; 0 where the error has not risen."""
    return beyond * beyond / (2.0 * variance) if beyond > 0.0 and variance > 0.0 else 0.0
