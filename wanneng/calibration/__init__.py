"""`wanneng calibrate`: what examples teach about a label set."""
