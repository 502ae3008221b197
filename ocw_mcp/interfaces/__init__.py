"""Interfaces for clients and scripts: MCP, REST and metrics, behind one authentication, over one facade."""
