"""What a run leaves on disk: its record, samples, thumbnails and evaluations. No torch."""
