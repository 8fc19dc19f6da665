"""The demo: a real, tiny vision-language model is fine-tuned on rendered scenes and evaluated.

`python -m lightning_vlmeval.demo` runs it, on a CPU and without a network.
"""
