"""The trading half of the sandbox exchange on spot: balances, orders, order lists and user data of one account."""
