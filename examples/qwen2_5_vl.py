"""Qwen2.5-VL learns to find shapes, in pixels of each image as its processor resized it.

    python examples/qwen2_5_vl.py [EPOCHS]

A tiny model of random weights learns 8 pictures by heart, on a CPU and without a network.
"""

import sys
from functools import partial
from typing import Any

import pytorch_lightning as pl
import torch
import transformers as hf
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import DataLoader

from lightning_vlmeval import Generator, VLMEvalCallback
from lightning_vlmeval.demo.architecture import build_processor
from lightning_vlmeval.demo.data import SceneDataset
from lightning_vlmeval.demo.scenes import Example, Mix
from lightning_vlmeval.parsing import box_format, fed_size_from_grid

FORMAT = box_format("qwen2.5-vl")
CHAT = """<|im_start|>user
<|image_pad|>{{ messages[0].content[1].text }}<|im_end|>
<|im_start|>assistant
"""


class TinyProcessor(hf.Qwen2_5_VLProcessor):
    """Qwen's own without its part for videos, which alone needs torchvision."""

    def __init__(self, image_processor: Any, tokenizer: Any) -> None:
        hf.ProcessorMixin.__init__(self, image_processor, tokenizer, chat_template=CHAT)
        tokens = self.image_token, self.video_token = "<|image_pad|>", "<|video_pad|>"
        tokenizer.add_tokens(["<|im_start|>", "<|im_end|>", *tokens], special_tokens=True)
        self.image_token_id, self.video_token_id = tokenizer.convert_tokens_to_ids(list(tokens))


def load() -> tuple[Any, Any]:
    """A processor and a model. Replace them by the real ones:

    hf.AutoProcessor.from_pretrained("Qwen/Qwen2.5-VL-3B-Instruct")
    hf.Qwen2_5_VLForConditionalGeneration.from_pretrained("Qwen/Qwen2.5-VL-3B-Instruct")
    """
    tokenizer = build_processor().tokenizer
    processor = TinyProcessor(hf.Qwen2VLImageProcessorPil(), tokenizer)
    words = {"vocab_size": len(tokenizer), "bos_token_id": None}
    words["eos_token_id"] = tokenizer.convert_tokens_to_ids("<|im_end|>")
    size = {"hidden_size": 128, "intermediate_size": 256}
    text = {"num_hidden_layers": 2, "num_attention_heads": 1, "num_key_value_heads": 1}
    vision = {"depth": 1, "num_heads": 4, "out_hidden_size": 128}
    config = hf.Qwen2_5_VLConfig(text_config=text | size | words, vision_config=vision | size)
    config.image_token_id = processor.image_token_id
    return processor, hf.Qwen2_5_VLForConditionalGeneration(config)


def collate(processor: Any, examples: list[Example]) -> dict[str, Any]:
    """The model's inputs, its labels, and what the callback scores its answers by."""
    images, prompts = [example.scene.image for example in examples], []
    for example in examples:
        question = {"type": "text", "text": f"Locate the {example.boxes[0].label}."}
        messages = [{"role": "user", "content": [{"type": "image"}, question]}]
        prompts.append(processor.apply_chat_template(messages, add_generation_prompt=True))
    encoded = processor(text=prompts, images=images)
    grids = torch.as_tensor(encoded["image_grid_thw"])
    ids, labels = [], []
    for example, prompt, grid in zip(examples, encoded["input_ids"], grids, strict=True):
        # Only now is it known to what size the processor resized the image.
        text = FORMAT.render(example.boxes, example.scene.image.size, fed_size_from_grid(grid))
        answer = processor.tokenizer(f"{text}<|im_end|>")["input_ids"]
        ids.append(torch.tensor(prompt + answer))
        labels.append(torch.tensor([-100] * len(prompt) + answer))  # no loss on the prompt
    input_ids = pad_sequence(ids, True, processor.tokenizer.pad_token_id)
    return {
        "input_ids": input_ids,
        "attention_mask": pad_sequence([torch.ones_like(row) for row in ids], True),
        "labels": pad_sequence(labels, True, -100),
        "mm_token_type_ids": (input_ids == processor.image_token_id).int(),
        "pixel_values": torch.as_tensor(encoded["pixel_values"]),
        "image_grid_thw": grids,  # the callback takes the resized images' sizes from it
        "size": [image.size for image in images],  # the originals' width and height
        "target": [example.boxes for example in examples],  # in pixels of the originals
        "id": [example.id for example in examples],
    }


class FineTuning(pl.LightningModule):
    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def training_step(self, batch: dict[str, Any], batch_idx: int) -> torch.Tensor:
        tensors = {name: value for name, value in batch.items() if torch.is_tensor(value)}
        return self.model(**tensors).loss

    def validation_step(self, batch: dict[str, Any], batch_idx: int) -> torch.Tensor:
        return self.training_step(batch, batch_idx)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.parameters(), lr=1e-3)  # for the real one 1e-5


if __name__ == "__main__":
    pl.seed_everything(0, verbose=False)
    processor, model = load()
    batches = partial(DataLoader, batch_size=4, collate_fn=partial(collate, processor))
    mix = Mix(("colour and shape",), questions=0.0, figures=1)
    # It answers half of the validation set, and all that it is trained on, for comparison.
    samples = {"generate_samples": 4, "training_samples": 8}
    callback = VLMEvalCallback(box_format=FORMAT, generate=Generator(processor), **samples)
    options = {"max_epochs": int((sys.argv[1:] or [48])[0]), "check_val_every_n_epoch": 12}
    options |= dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar"), False)
    trainer = pl.Trainer(accelerator="cpu", callbacks=[callback], **options)
    training = batches(SceneDataset(seed=0, count=8, mix=mix), shuffle=True)
    trainer.fit(FineTuning(model), training, batches(SceneDataset(seed=1, count=8, mix=mix)))
    print(callback.history_table(["val/grounding/f1", "train/grounding/f1"]))
