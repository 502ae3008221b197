"""Control from outside: command files, passphrase, tokens and the address of the engine."""
