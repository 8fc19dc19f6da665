"""Tiny models of `transformers` with random weights, and batches as they are trained on."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
import transformers as hf
from tokenizers import Tokenizer, models, pre_tokenizers
from torch import Tensor

PAD, BOS, EOS, IMAGE, START, END = range(6)
WORDS = range(6, 64)
# Several tokens end a text, so that random weights end some answers early and some not.
ENDS = [EOS, *range(50, 56)]
# Every token of an answer is a word, and another one: no endless repetition.
WORDS_ONLY = {"suppress_tokens": [PAD, BOS, IMAGE, START, END], "no_repeat_ngram_size": 1}
SIDE = 16  # pixels of an image
RELEASE = tuple(map(int, hf.__version__.split(".")[:2]))
ROPE = "rope_parameters" if RELEASE >= (5,) else "rope_scaling"

TEXT = {
    "vocab_size": 64,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "max_position_embeddings": 128,
    "pad_token_id": PAD,
    "bos_token_id": BOS,
    "eos_token_id": EOS,
}
VISION = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "image_size": SIDE,
    "patch_size": 8,
}


def tokenizer() -> Any:
    """Token 7 is written "w7"."""
    special = ["<pad>", "<bos>", "<eos>", "<image>", "<start>", "<end>"]
    words = {word: n for n, word in enumerate([*special, *(f"w{n}" for n in WORDS)])}
    plain = Tokenizer(models.WordLevel(words, unk_token="<pad>"))
    plain.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return hf.PreTrainedTokenizerFast(
        tokenizer_object=plain,
        pad_token="<pad>",
        bos_token="<bos>",
        eos_token="<eos>",
        additional_special_tokens=special[3:],
    )


def text_of(tokens: Sequence[int]) -> str:
    return " ".join(f"w{token}" for token in tokens if token in WORDS)


@dataclass(frozen=True)
class Example:
    """An image, what is asked of it, and the answer, in tokens."""

    seed: int
    prompt: list[int]
    answer: list[int]

    @property
    def image(self) -> Tensor:
        noise = torch.Generator().manual_seed(self.seed)
        return torch.randn(3, SIDE, SIDE, generator=noise)


EXAMPLES = [
    Example(1, [6, 7, 8, 9, 10, 11, 12], [20, 21]),
    Example(2, [13, 14], [22, 23, 24, 25]),
    Example(3, [15, 16, 17, 18], [26]),
    Example(4, [19, 6], [27, 28, 29]),
]


@dataclass(frozen=True)
class Architecture:
    """How a model is made, trained and asked.

    `returned` is how many of a prompt's tokens `generate` gives back, from how many there were.
    """

    build: Callable[[], Any]
    prefix: list[int] = field(default_factory=list)
    images: Callable[[Sequence[Example]], dict[str, Any]] = lambda examples: {
        "pixel_values": torch.stack([example.image for example in examples])
    }
    token_types: Callable[[Tensor, Tensor], dict[str, Tensor]] = lambda ids, labels: {}
    separate: bool = False  # the answer is a text of its own
    closed: bool = False  # a prompt ends with the token that ends a text
    returned: Callable[[int], int] = lambda length: length

    def training_batch(self, examples: Sequence[Example]) -> dict[str, Any]:
        """What a collate function makes: padded on the right, with labels."""
        prompts = [self.prefix + example.prompt for example in examples]
        answers = [[*example.answer, EOS] for example in examples]
        if self.separate:
            ids, labels = _padded([[*p, EOS] for p in prompts], PAD), _padded(answers, PAD)
        else:
            ids = _padded([p + a for p, a in zip(prompts, answers, strict=True)], PAD)
            masked = [[-100] * len(p) + a for p, a in zip(prompts, answers, strict=True)]
            labels = _padded(masked, -100)
        mask = (ids != PAD).long()
        extra = {**self.images(examples), **self.token_types(ids, labels)}
        return {"input_ids": ids, "attention_mask": mask, "labels": labels, **extra}

    def prompt(self, example: Example) -> dict[str, Any]:
        """The inputs of `generate` for one example, without padding."""
        end = [EOS] if self.closed or self.separate else []
        ids = torch.tensor([self.prefix + example.prompt + end])
        types = self.token_types(ids, torch.full_like(ids, -100))
        return {"input_ids": ids, "attention_mask": ids**0, **self.images([example]), **types}

    def answer(self, model: Any, example: Example, budget: int) -> list[int]:
        """The new tokens that the model gives for one example alone."""
        inputs = self.prompt(example)
        length = inputs["input_ids"].shape[1]
        with torch.no_grad():
            row = model.generate(**inputs, max_new_tokens=budget, do_sample=False)[0].tolist()
        row = row[self.returned(length) :]
        return row[: next((at for at, token in enumerate(row) if token in ENDS), len(row))]


def _padded(rows: Sequence[Sequence[int]], value: int) -> Tensor:
    width = max(map(len, rows))
    return torch.tensor([[*row, *[value] * (width - len(row))] for row in rows])


def make(architecture: Architecture, seed: int = 0) -> Any:
    """A model whose answers depend on what it is given, in evaluation mode."""
    torch.manual_seed(seed)
    model = architecture.build()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.normal_(std=2.0 * parameter[0].numel() ** -0.5)
    for part in model.modules():
        if getattr(part, "generation_config", None) is not None:
            part.generation_config.update(pad_token_id=PAD, eos_token_id=ENDS, **WORDS_ONLY)
    return model.eval()


def _paligemma() -> Any:
    text = {**TEXT, "model_type": "gemma", "num_key_value_heads": 2, "head_dim": 16}
    vision = {**VISION, "model_type": "siglip_vision_model", "vision_use_head": False}
    return hf.PaliGemmaForConditionalGeneration(
        hf.PaliGemmaConfig(
            text_config=text, vision_config={**vision, "projection_dim": 32}, projection_dim=32,
            hidden_size=32, image_token_id=IMAGE,
        )
    )  # fmt: skip


def _llava() -> Any:
    return hf.LlavaForConditionalGeneration(
        hf.LlavaConfig(
            text_config={**TEXT, "model_type": "llama"},
            vision_config={**VISION, "model_type": "clip_vision_model", "projection_dim": 32},
            image_token_index=IMAGE,
            vision_feature_layer=-1,
        )
    )


def _idefics3() -> Any:
    return hf.Idefics3ForConditionalGeneration(
        hf.Idefics3Config(
            text_config={**TEXT, "model_type": "llama"},
            vision_config=VISION,
            image_token_id=IMAGE,
            pad_token_id=PAD,
            scale_factor=2,
        )
    )


def _modes(ids: Tensor, labels: Tensor) -> dict[str, Tensor]:
    """What Qwen's processors say of each token since transformers 5."""
    return {"mm_token_type_ids": (ids == IMAGE).int()} if RELEASE >= (5,) else {}


def _qwen() -> Any:
    rope = {"rope_type": "default", "mrope_section": [2, 3, 3], "rope_theta": 10000.0}
    vision = {"depth": 1, "hidden_size": 32, "intermediate_size": 64, "num_heads": 2}
    patches = {
        "patch_size": 4,
        "window_size": 16,
        "out_hidden_size": 32,
        "fullatt_block_indexes": [0],
    }
    return hf.Qwen2_5_VLForConditionalGeneration(
        hf.Qwen2_5_VLConfig(
            text_config={**TEXT, "num_key_value_heads": 2, ROPE: rope},
            vision_config={**vision, **patches},
            image_token_id=IMAGE,
            vision_start_token_id=START,
            vision_end_token_id=END,
            video_token_id=63,
        )
    )


def _kosmos2() -> Any:
    text = {"embed_dim": 32, "layers": 2, "ffn_dim": 64, "attention_heads": 2, "vocab_size": 64}
    return hf.Kosmos2ForConditionalGeneration(
        hf.Kosmos2Config(
            text_config={**text, "pad_token_id": PAD, "bos_token_id": BOS, "eos_token_id": EOS},
            vision_config=VISION,
            latent_query_num=3,
        )
    )


def _blip(kind: str) -> Callable[[], Any]:
    def build() -> Any:
        text = {**TEXT, "encoder_hidden_size": 32, "sep_token_id": EOS}
        config = hf.BlipConfig(text_config=text, vision_config=VISION, projection_dim=32)
        model = getattr(hf, kind)(config)
        # Its `generate` ends texts at this one, which the config lets nobody set to several.
        vars(model.config.text_config)["sep_token_id"] = ENDS
        return model

    return build


def _florence2() -> Any:
    text = {"vocab_size": 64, "d_model": 32, "encoder_layers": 1, "decoder_layers": 2}
    heads = {"encoder_attention_heads": 2, "decoder_attention_heads": 2}
    widths = {"encoder_ffn_dim": 64, "decoder_ffn_dim": 64, "max_position_embeddings": 128}
    tokens = {"pad_token_id": PAD, "bos_token_id": BOS, "eos_token_id": EOS}
    stages = {"depths": [1], "patch_size": [7], "patch_stride": [8], "patch_padding": [3]}
    sizes = {"embed_dim": [32], "num_heads": [2], "num_groups": [2], "patch_prenorm": [False]}
    return hf.Florence2ForConditionalGeneration(
        hf.Florence2Config(
            text_config={
                **{"model_type": "bart", **text, **heads, **widths, **tokens},
                **{"decoder_start_token_id": EOS, "forced_eos_token_id": None},
            },
            vision_config={**stages, **sizes, "window_size": 2, "projection_dim": 32},
            image_token_id=IMAGE,
            **tokens,
        )
    )


def _gemma3() -> Any:
    text = {**TEXT, "num_key_value_heads": 2, "head_dim": 16, "sliding_window": 8}
    return hf.Gemma3ForConditionalGeneration(
        hf.Gemma3Config(
            text_config=text,
            vision_config={**VISION, "vision_use_head": False},
            mm_tokens_per_image=4,
            image_token_index=IMAGE,
            boi_token_index=START,
            eoi_token_index=END,
        )
    )


def _internvl() -> Any:
    return hf.InternVLForConditionalGeneration(
        hf.InternVLConfig(
            text_config={**TEXT, "model_type": "qwen2", "num_key_value_heads": 2},
            vision_config={**VISION, "image_size": [SIDE, SIDE], "patch_size": [4, 4]},
            image_token_id=IMAGE,
            image_seq_length=4,
        )
    )


def _qwen3() -> Any:
    rope = {"rope_type": "default", "mrope_section": [2, 3, 3], "rope_theta": 10000.0}
    vision = {"depth": 1, "hidden_size": 32, "intermediate_size": 64, "num_heads": 2}
    deep = {"patch_size": 4, "out_hidden_size": 32, "deepstack_visual_indexes": [0]}
    heads = {"head_dim": 16, "num_key_value_heads": 2}
    return hf.Qwen3VLForConditionalGeneration(
        hf.Qwen3VLConfig(
            text_config={**TEXT, **heads, ROPE: rope},
            vision_config={**vision, **deep, "num_position_embeddings": 16},
            image_token_id=IMAGE,
            vision_start_token_id=START,
            vision_end_token_id=END,
            video_token_id=63,
        )
    )


def _blip2() -> Any:
    text = {"model_type": "opt", "vocab_size": 64, "hidden_size": 32, "ffn_dim": 64}
    layers = {"num_hidden_layers": 2, "num_attention_heads": 2, "word_embed_proj_dim": 32}
    tokens = {"pad_token_id": PAD, "bos_token_id": BOS, "eos_token_id": EOS}
    return hf.Blip2ForConditionalGeneration(
        hf.Blip2Config(
            text_config={**text, **layers, **tokens},
            vision_config=VISION,
            qformer_config={**TEXT, "encoder_hidden_size": 32},
            num_query_tokens=3,
            image_token_index=IMAGE,
        )
    )


def _git() -> Any:
    return hf.GitForCausalLM(hf.GitConfig(**TEXT, vision_config=VISION))


def _patches(examples: Sequence[Example]) -> dict[str, Any]:
    """As Qwen's image processor makes them: all images' patches after each other."""
    rows = []
    for example in examples:
        pixels = example.image.reshape(3, 2, 2, 4, 2, 2, 4)  # groups of 2 x 2 patches of 4 x 4
        rows.append(pixels.permute(1, 4, 2, 5, 0, 3, 6).reshape(16, 3, 1, 16).repeat(1, 1, 2, 1))
    patches = torch.cat(rows).reshape(16 * len(examples), -1)
    return {"pixel_values": patches, "image_grid_thw": torch.tensor([[1, 4, 4]] * len(examples))}


def _tiles(examples: Sequence[Example]) -> dict[str, Any]:
    pixels = torch.stack([example.image for example in examples])[:, None]
    return {"pixel_values": pixels, "pixel_attention_mask": torch.ones_like(pixels[:, :, 0])}


ARCHITECTURES = {
    "PaliGemma": Architecture(
        _paligemma,
        [*[IMAGE] * 4, BOS],
        token_types=lambda ids, labels: {"token_type_ids": (labels != -100).long()},
    ),
    "LLaVA": Architecture(_llava, [BOS, *[IMAGE] * 4]),
    "Idefics3": Architecture(_idefics3, [BOS, IMAGE], _tiles),
    "Qwen2.5-VL": Architecture(
        _qwen,
        [START, *[IMAGE] * 4, END],
        _patches,
        token_types=_modes,
    ),
    "Qwen3-VL": Architecture(
        _qwen3,
        [START, *[IMAGE] * 4, END],
        _patches,
        token_types=_modes,
    ),
    "Gemma 3": Architecture(
        _gemma3,
        [BOS, START, *[IMAGE] * 4, END],
        token_types=lambda ids, labels: {"token_type_ids": (ids == IMAGE).long()},
    ),
    "InternVL": Architecture(_internvl, [BOS, *[IMAGE] * 4]),
    "GIT": Architecture(_git, [BOS]),
    "BLIP-2": Architecture(_blip2, [*[IMAGE] * 3, BOS]),
    "Kosmos-2": Architecture(
        _kosmos2,
        [BOS, START, *[IMAGE] * 3, END],
        token_types=lambda ids, labels: {"image_embeds_position_mask": ids == IMAGE},
    ),
    "BLIP caption": Architecture(
        _blip("BlipForConditionalGeneration"),
        [START],
        closed=True,
        returned=lambda length: length - 1,
    ),
    "BLIP VQA": Architecture(
        _blip("BlipForQuestionAnswering"), [START], separate=True, returned=lambda length: 1
    ),
    "Florence-2": Architecture(_florence2, [IMAGE] * 5, separate=True, returned=lambda length: 1),
}
