"""Who asks, how much they may ask for, which label sets they have, and what they have used."""
