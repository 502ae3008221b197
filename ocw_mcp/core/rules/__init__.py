"""What trades when Claude cannot."""
