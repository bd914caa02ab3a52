"""From the body of a request to the scores of its labels."""
