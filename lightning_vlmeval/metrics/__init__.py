"""torchmetrics `Metric` subclasses over the scorers of `functional`."""
