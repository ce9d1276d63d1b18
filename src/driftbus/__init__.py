"""driftbus: streaming drift detection on an event bus."""

__version__ = "0.1.0"
