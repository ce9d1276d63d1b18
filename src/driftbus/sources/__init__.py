"""Events that other services emit already, mapped to predictions and labels: bytes and headers in, events
out.

`Source` is one configured source; formats stand one a file in `formats/`, by name in `registry`; `Waiting`
holds the halves of inferences whose request and response are records of their own. Nothing here knows a bus
or a clock.
"""

from driftbus.sources.formats.form import Half
from driftbus.sources.mapping import Event
from driftbus.sources.pairing import Waiting, WaitingHalf
from driftbus.sources.settings import IngestSettings, SourceSettings
from driftbus.sources.source import Mapped, Source

__all__ = [
    "Event",
    "Half",
    "IngestSettings",
    "Mapped",
    "Source",
    "SourceSettings",
    "Waiting",
    "WaitingHalf",
]
