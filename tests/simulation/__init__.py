"""The real worker on a bus in memory, and a seeded scheduler that lets things go wrong between port calls."""
