"""LoRA: adapters of a few thousand weights teach the demo's model a new kind of phrase.

    pip install peft
    python examples/lora.py [STEPS]

On a CPU, without a network, in about a minute.
"""

import sys
from typing import Any

import pytorch_lightning as pl
import torch
from peft import LoraConfig, get_peft_model
from torch.utils.data import DataLoader

from lightning_vlmeval import Generator, VLMEvalCallback
from lightning_vlmeval.demo.data import Collator, SceneDataset
from lightning_vlmeval.demo.model import load_checkpoint
from lightning_vlmeval.demo.scenes import Mix

ADAPTERS = LoraConfig(r=8, lora_alpha=16, target_modules=["q_proj", "k_proj", "v_proj", "o_proj"])


class FineTuning(pl.LightningModule):
    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = get_peft_model(model, ADAPTERS)  # everything else is frozen

    def training_step(self, batch: dict[str, Any], batch_idx: int) -> torch.Tensor:
        tensors = {name: value for name, value in batch.items() if torch.is_tensor(value)}
        return self.model(**tensors).loss

    def validation_step(self, batch: dict[str, Any], batch_idx: int) -> torch.Tensor:
        return self.training_step(batch, batch_idx)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        adapters = [weight for weight in self.parameters() if weight.requires_grad]
        return torch.optim.AdamW(adapters, lr=5e-3)


if __name__ == "__main__":
    steps = int((sys.argv[1:] or [120])[0])
    pl.seed_everything(0, verbose=False)
    processor, model = load_checkpoint()  # or AutoProcessor and AutoModel...from_pretrained
    mix = Mix(("colour",), questions=0.0)  # "red shape": it knows "red circle"
    collate = Collator(processor)
    training = DataLoader(SceneDataset(0, 16 * steps, mix), batch_size=16, collate_fn=collate)
    validation = DataLoader(SceneDataset(1, 32, mix), batch_size=16, collate_fn=collate)
    callback = VLMEvalCallback(box_format="paligemma", generate=Generator(processor))
    trainer = pl.Trainer(
        accelerator="cpu",
        max_epochs=1,
        val_check_interval=max(1, steps // 4),
        callbacks=[callback],
        **dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar"), False),
    )
    module = FineTuning(model)
    trainer.fit(module, training, validation)
    trained, every = module.model.get_nb_trainable_parameters()
    print(f"{trained} of {every} weights trained")
    print(callback.history_table(["val/grounding/f1", "val/grounding/mean_iou"]))
