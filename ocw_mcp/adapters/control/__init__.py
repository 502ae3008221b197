"""How a person reaches a running engine through its state directory."""
