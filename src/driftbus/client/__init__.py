"""What other programs import: `Emitter` for inference services, `RetrainRequests` for trainers."""

from driftbus.client.emitter import Emitter
from driftbus.client.reference import training_reference
from driftbus.client.request import Request
from driftbus.client.requests import RetrainRequests
from driftbus.client.window import TrainingWindow
from driftbus.errors import Unavailable, WindowExpired

__all__ = [
    "Emitter",
    "Request",
    "RetrainRequests",
    "TrainingWindow",
    "Unavailable",
    "WindowExpired",
    "training_reference",
]
