"""The MCP server: tools, resources and prompts over the facade of a running engine."""
