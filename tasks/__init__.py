"""Where examples come from, how they are asked, and how answers are scored: text or images in, scores out."""
