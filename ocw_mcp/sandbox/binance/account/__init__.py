"""The trading half of the sandbox exchange: keys, orders, positions and user data of one account on USD-M futures."""
