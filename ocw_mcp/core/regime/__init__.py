"""The market regime from daily candles: a hidden Markov model whose states are ordered by volatility."""
