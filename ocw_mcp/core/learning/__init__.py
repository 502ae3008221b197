"""What worked: posteriors of signals, payoffs and meta-parameters, by regime, as a function of outcomes in order."""
