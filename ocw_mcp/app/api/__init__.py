"""OCW as a library: what `import ocw_mcp` exports is made here, and re-exported by the package."""
