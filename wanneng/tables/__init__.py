"""Files of texts: CSV, Excel, JSON Lines and plain text, in the encodings used for Chinese."""
