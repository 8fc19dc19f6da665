"""One answer of the model, with what it should have been."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Sample:
    """One answer of the model to one image and prompt.

    Args:
        id: Stable over epochs and ranks; unique within a validation set.
        prediction: The model's answer: a text, or boxes.
        target: What the answer should be: a text, several accepted texts, or boxes.
        prompt: The text given to the model.
        image: The picture (a PIL image, an array of shape (H, W, 3), or a path), or None.
        group: What correlated samples share, such as the image of several questions: intervals are
            clustered by it.
        metadata: Anything else worth keeping beside the answer.
        annotator: Who annotated it, or what else its annotations have in common.

    Example:
        >>> Sample("img7/q1", prediction="two", target="three", group="img7").group
        'img7'
    """

    id: str
    prediction: Any
    target: Any
    prompt: str = ""
    image: Any = None
    group: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    annotator: str | None = None
