"""The macro regime: quadrants of growth and inflation from economic series, as known at each day."""
