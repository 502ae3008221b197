"""The HTTP application: health, status and metrics, with the MCP server beside them."""
