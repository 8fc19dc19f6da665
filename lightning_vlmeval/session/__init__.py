"""One evaluation pass, without a Trainer: what came out of the model in, scores out."""
