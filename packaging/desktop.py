"""What Claude Desktop starts of the bundle: `ocw mcp`, on the book that is kept with your user data."""

import sys

from ocw_mcp.app.cli import main

sys.argv[1:1] = ["mcp"]
main()
