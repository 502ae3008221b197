"""`python -m ocw_mcp` is `ocw`."""

from ocw_mcp.app.cli import main

main()
