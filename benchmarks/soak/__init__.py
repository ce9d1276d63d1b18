"""Long and hard use of one worker: `make soak`, `make overload`."""
