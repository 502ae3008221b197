"""The doors: every way in from outside, over one authentication, onto one facade."""
