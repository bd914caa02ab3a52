"""HTTP at the edge: paths, bodies, statuses. Every endpoint translates, delegates, translates."""
