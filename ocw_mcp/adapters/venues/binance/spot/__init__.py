"""What is different on spot: order lists, balances in place of positions, and user data by the WebSocket API."""
