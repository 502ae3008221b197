"""The status API: routes for scripts and dashboards that read one engine, over the same facade as the MCP tools."""
