"""Evaluation of vision-language models while they are being fine-tuned with PyTorch Lightning."""

__version__ = "0.1.0"
