"""The gateway's HTTP API. Every endpoint translates, delegates and translates back."""
