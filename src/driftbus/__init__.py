"""driftbus: streaming drift detection on an event bus."""
