"""OCW as a library: the functions and classes that `import ocw_mcp` exports."""
