"""All bugs. Each breaks one promise of ARCHITECTURE.md; its name says what is lost."""

from __future__ import annotations

from .buses import EMBEDDED, KAFKA
from .joined import JOINED
from .state import STATE
from .transactions import TRANSACTIONS

MUTANTS = (*TRANSACTIONS, *STATE, *JOINED, *EMBEDDED, *KAFKA)
