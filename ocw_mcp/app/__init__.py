"""The application: settings, policy files, the wiring of a run, the command line, and the library interface."""
