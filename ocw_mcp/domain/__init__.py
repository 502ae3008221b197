"""What the whole house speaks of: values, and the protocols by which its rooms meet."""
