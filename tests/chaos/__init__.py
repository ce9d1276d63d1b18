"""Chaos: workers on a real Kafka, killed, frozen and cut off at every point of their work."""
