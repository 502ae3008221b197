"""Pure rooms: no input, no output, no clock; they know the domain and not each other."""
