"""The command line of wanneng: serve on one machine, classify from a terminal."""
