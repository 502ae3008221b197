"""Pure packages without input, output or clock. These packages import `domain`, and not each other."""
