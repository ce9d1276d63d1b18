"""`python -m driftbus` is the command `driftbus`."""

from driftbus.cli.app import main

main()
