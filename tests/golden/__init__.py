"""State as releases wrote it: `state`, inputs and outcomes of one partition at some moment, and what was
published from there on. Later versions must go on from it.

    python -m tests.golden write        records this version's world into tests/golden/<version>/
"""
