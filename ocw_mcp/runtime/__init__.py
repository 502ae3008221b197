"""The shell that carries out the engine's effects on a clock."""
