"""Files of texts, as people have them: CSV, Excel, JSON lines and plain lines, in the encodings of Chinese."""
