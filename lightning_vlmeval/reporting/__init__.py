"""Values in, what people read out. No torch."""
