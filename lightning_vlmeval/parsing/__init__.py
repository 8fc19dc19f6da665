"""Text in, values out: boxes and structured answers from what a model wrote."""
