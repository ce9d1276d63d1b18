"""CONTRACT.md, checked from outside: topics, command line, HTTP, clients, configuration files."""
