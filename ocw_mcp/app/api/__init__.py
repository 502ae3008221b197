"""OCW as a library: `replay`, `connect` and their results, which the package exports."""
