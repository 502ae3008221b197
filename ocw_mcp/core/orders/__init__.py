"""The status of orders, and the positions of the account after their fills."""
