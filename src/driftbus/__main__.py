"""`python -m driftbus`: the command line without the installed script."""

from driftbus.cli.app import main

main()
