"""Numbers in, verdicts out: overfitting, intervals, comparison, trend. No torch."""
