"""A PaliGemma of 0.3 million weights, and its processor, made from nothing but code.

Both are the classes of `transformers`, only small. The usual initialisation is for models of some
thousand channels; with 64 it learns next to nothing in minutes, so this one is our own.
"""

import re
from dataclasses import replace

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import Tensor, nn
from transformers import (
    PaliGemmaConfig,
    PaliGemmaForConditionalGeneration,
    PaliGemmaProcessor,
    PreTrainedTokenizerFast,
    SiglipImageProcessorPil,
)

from lightning_vlmeval.demo.data import SceneDataset
from lightning_vlmeval.demo.scenes import SIDE, Mix

PATCH = 8
"""Width and height of what becomes one image token, in pixels."""

GRID = SIDE // PATCH
"""Image tokens in a row, and rows of them."""

_CHANNELS = 64
_HEADS = 4
_VISION_LAYERS = 2
_TEXT_LAYERS = 3
_SPECIAL = {"pad_token": "<pad>", "bos_token": "<bos>", "eos_token": "<eos>", "unk_token": "<unk>"}
_LOCATIONS = 1024  # the processor's tokens for coordinates, <loc0000> to <loc1023>


def build_processor() -> PaliGemmaProcessor:
    """A processor whose tokenizer knows the words of the scenes, and any text byte by byte."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=[*_SPECIAL.values(), "<image>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_corpus(), trainer)
    images = SiglipImageProcessorPil(size={"height": SIDE, "width": SIDE})
    images.image_seq_length = GRID * GRID
    return PaliGemmaProcessor(
        image_processor=images,
        tokenizer=PreTrainedTokenizerFast(tokenizer_object=tokenizer, **_SPECIAL),
    )


def _corpus() -> list[str]:
    """Prompts and answers as they will be tokenised, without location tokens."""
    texts = []
    for sentences in (False, True):
        for family in ("paligemma", "qwen3-vl", "internvl"):
            mix = Mix(("colour and shape", "colour", "shape"), 0.1, 0.3, sentences)
            scenes = SceneDataset(0, 200, replace(mix, box_format=family))
            for example in map(scenes.__getitem__, range(len(scenes))):
                texts.append(example.prompt + "\n")
                texts.append(re.sub("<loc[0-9]+>", "", example.answer))
    return texts


def build_model(processor: PaliGemmaProcessor) -> PaliGemmaForConditionalGeneration:
    """A model with weights drawn from torch's random numbers.

    Args:
        processor: Its processor.
    """
    model = PaliGemmaForConditionalGeneration(_config(processor))
    tokens = processor.tokenizer
    ends = {f"{name}_token_id": getattr(tokens, f"{name}_token_id") for name in _ENDS}
    model.generation_config.update(**ends)
    for name, module in model.named_modules():
        if isinstance(module, (nn.Linear, nn.Conv2d)) and "lm_head" not in name:
            nn.init.normal_(module.weight, std=module.weight[0].numel() ** -0.5)
    with torch.no_grad():
        _place_positions(model, processor)
    return model


_ENDS = ("pad", "bos", "eos")


def _config(processor: PaliGemmaProcessor) -> PaliGemmaConfig:
    tokens = processor.tokenizer
    ends = {f"{name}_token_id": getattr(tokens, f"{name}_token_id") for name in _ENDS}
    shape = {
        "hidden_size": _CHANNELS,
        "intermediate_size": 2 * _CHANNELS,
        "num_attention_heads": _HEADS,
    }
    vision = {
        "model_type": "siglip_vision_model",
        "num_hidden_layers": _VISION_LAYERS,
        "image_size": SIDE,
        "patch_size": PATCH,
        "projection_dim": _CHANNELS,
        "vision_use_head": False,
    }
    text = {
        "model_type": "gemma",
        "num_hidden_layers": _TEXT_LAYERS,
        "vocab_size": len(tokens),
        "num_key_value_heads": _HEADS,
        "head_dim": _CHANNELS // _HEADS,
        "max_position_embeddings": 512,
    }
    return PaliGemmaConfig(
        vision_config=vision | shape,
        text_config=text | shape | ends,
        image_token_id=processor.image_token_id,
        projection_dim=_CHANNELS,
        hidden_size=_CHANNELS,
        **ends,
    )


def _place_positions(
    model: PaliGemmaForConditionalGeneration, processor: PaliGemmaProcessor
) -> None:
    """Give image tokens and coordinate tokens one code of positions, and let it pass between them.

    A coordinate's embedding then resembles the position of the image tokens around it.
    """
    embeddings = model.get_input_embeddings().weight
    nn.init.normal_(embeddings, std=0.1)
    names = [f"<loc{number:04d}>" for number in range(_LOCATIONS)]
    location_ids = processor.tokenizer.convert_tokens_to_ids(names)
    code = _position_code(torch.arange(_LOCATIONS) * GRID / _LOCATIONS - 0.5)
    embeddings[location_ids] = 0.3 * embeddings[location_ids] + 0.1 * torch.cat([code, code], 1)

    row, column = torch.meshgrid(torch.arange(GRID), torch.arange(GRID), indexing="ij")
    places = [_position_code(axis.reshape(-1).float()) for axis in (column, row)]
    table = model.model.vision_tower.embeddings.position_embedding.weight
    table.copy_(0.5 * torch.cat(places, 1))

    projector = model.model.multi_modal_projector.linear
    nn.init.eye_(projector.weight)
    nn.init.zeros_(projector.bias)


def _position_code(places: Tensor) -> Tensor:
    """Sines and cosines of positions along one axis, counted in image tokens: shape (n, 32)."""
    quarter = _CHANNELS // 4
    angles = places[:, None] * 100.0 ** -(torch.arange(quarter) / quarter)
    return torch.cat([angles.sin(), angles.cos()], 1)
