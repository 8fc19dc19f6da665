"""The patterns that a diagnosis knows: a table, one row a pattern.

The rows of a family exclude each other: the first that holds is the family's finding, so their order
is their precedence. Families are told in the order of the table: first what makes all other values
say little (answers that break off or cannot be read), then what the model does, then the data.
"""

from lightning_vlmeval.analysis.bands import DIFFERENCE, Band, Condition, Rule, Side

_AIM = Band(0.95, 0.95)
_BETTER = "Better in both; whether that is good enough, a baseline does not tell."
_IMPROVE = (
    "In this order: more varied annotations (other light, angles, backgrounds, rare cases; fifty that "
    "differ are worth more than five hundred alike); the same way to annotate everywhere, for boxes of "
    "mixed tightness teach their average; a prompt that names exactly what to find; another model or "
    "way to train (a larger one, or full fine-tuning instead of LoRA)."
)


def _rate(name: str, family: str, meaning: str, advice: str) -> Rule:
    """The pattern of a fault that too many answers have."""
    key = f"health/{name}"
    return Rule(family, family, (Condition(key, "high"),), meaning, advice, ((key, 1.0),))


def _notes(name: str, key: str, title: str, value: float, praise: str) -> list[Rule]:
    """Where a value stands to a rule of thumb."""
    sides: list[tuple[str, Side]] = [("above", "high"), ("below", "low")]
    return [
        Rule(
            f"{name}-{word}",
            name,
            (Condition(key, side, Band(value, value)),),
            f"{title} is {word} {value:.2f}, from which on it is often called {praise}.",
            "A rule of thumb, not a verdict: compare runs with each other.",
            ((key, 1.0 if side == "high" else -1.0),),
            "note",
        )
        for word, side in sides
    ]


RULES = (
    # --- answers that say little of what the model knows
    _rate(
        "truncated",
        "truncated",
        "Many answers are cut at the token limit; their scores are those of half answers.",
        "Raise the limit of generated tokens, or train on shorter answers.",
    ),
    _rate(
        "repetition",
        "loops",
        "Many answers end in a loop that repeats itself.",
        "Check that the training labels contain the end-of-sequence token and are not masked there; "
        "train on for longer, or generate with a repetition penalty.",
    ),
    _rate(
        "reasoning",
        "reasoning-leak",
        "Many answers contain the model's reasoning.",
        "Turn thinking off in the chat template, or take the reasoning out before scoring.",
    ),
    _rate(
        "empty",
        "empty-answers",
        "Many answers are empty.",
        "Check the prompt template and which tokens end an answer; look for empty annotations.",
    ),
    _rate(
        "prompt_echo",
        "prompt-echo",
        "Many answers repeat their prompt.",
        "Cut the prompt off the generated tokens, and mask it in the training labels.",
    ),
    Rule(
        "unreadable-boxes",
        "unreadable-boxes",
        (Condition("grounding/parse_rate", "low"),),
        "Many answers hold nothing that can be read as boxes in the expected format.",
        "Check the box format and the prompt; the model may write another format, or prose.",
        (("grounding/parse_rate", -1.0),),
    ),
    # --- boxes
    Rule(
        "cautious",
        "grounding",
        (Condition("grounding/precision", "high"), Condition("grounding/recall", "low")),
        "High precision, low recall: the model is cautious, with few false boxes and many misses.",
        "Add positive examples: more images in which such objects are annotated.",
        (("grounding/fn", 1.0),),
    ),
    Rule(
        "overeager",
        "grounding",
        (Condition("grounding/precision", "low"), Condition("grounding/recall", "high")),
        "Low precision, high recall: the model finds most objects, among many wrong boxes.",
        "Add negative examples: images that do not show what the prompt asks for.",
        (("grounding/fp", 1.0),),
    ),
    Rule(
        "misses-many",
        "grounding",
        (
            Condition("grounding/f1", "low"),
            Condition("grounding/iou", "high"),
            Condition("grounding/recall", "low"),
        ),
        "Low F1, high IoU: boxes are tight where there are any, but many objects are missed.",
        "Add training examples, of the rarest kinds of objects first.",
        (("grounding/fn", 1.0),),
    ),
    Rule(
        "loose-boxes",
        "grounding",
        (Condition("grounding/f1", "high"), Condition("grounding/iou", "low")),
        "High F1, low IoU: the right objects are found, with loose or shifted boxes.",
        "Tighten the annotated boxes, so that they hold as little background as possible.",
        (("grounding/iou", -1.0),),
    ),
    Rule(
        "finds-and-fits",
        "grounding",
        (Condition("grounding/f1", "high"), Condition("grounding/iou", "high")),
        "High F1, high IoU: the model finds the objects and draws tight boxes.",
        "Ready for production in most tasks.",
        (("grounding/f1", 1.0), ("grounding/iou", 1.0)),
        advice_against=_BETTER,
    ),
    Rule(
        "recall-behind-precision",
        "grounding",
        (Condition(DIFFERENCE, "far above 0"),),
        "Recall is far below precision: many more objects are missed than boxes are false.",
        "Add positive examples: more images in which such objects are annotated.",
        (("grounding/fn", 1.0),),
    ),
    Rule(
        "precision-behind-recall",
        "grounding",
        (Condition(DIFFERENCE, "far below 0"),),
        "Precision is far below recall: many more boxes are false than objects are missed.",
        "Add negative examples: images that do not show what the prompt asks for.",
        (("grounding/fp", 1.0),),
    ),
    # --- texts
    Rule(
        "short-references",
        "text",
        (Condition("text/short_references", "high"),),
        "Most references are shorter than four tokens, and there BLEU is 0 or smoothing alone.",
        "Judge such answers by exact match, token F1 and ROUGE-1, not by BLEU.",
        (("text/short_references", 1.0),),
    ),
    Rule(
        "text-without-bertscore",
        "text",
        (Condition("text/bertscore_f1", "missing"), Condition("text/bleu", "known")),
        "BERTScore is off: BLEU alone does not tell other words from another meaning, so that none "
        "of the text patterns can be decided.",
        "Install the extra `encoder`, or give the callback an `encoder`.",
        (("text/bleu", -1.0),),
        "note",
    ),
    Rule(
        "right-in-similar-words",
        "text",
        (Condition("text/bertscore_f1", "high"), Condition("text/bleu", "high")),
        "High BERTScore, high BLEU: the answers are right, in words like the annotated ones.",
        "Strong in meaning and wording; nothing to change.",
        (("text/bertscore_f1", 1.0), ("text/bleu", 1.0)),
        advice_against=_BETTER,
    ),
    Rule(
        "right-in-other-words",
        "text",
        (Condition("text/bertscore_f1", "high"), Condition("text/bleu", "low")),
        "High BERTScore, low BLEU: the answers are right, in other words than the annotated ones.",
        "Usually fine; read a few of these answers to be sure.",
        (("text/bertscore_f1", 1.0), ("text/bleu", -1.0)),
    ),
    Rule(
        "phrasing-without-meaning",
        "text",
        (Condition("text/bertscore_f1", "low"), Condition("text/bleu", "high")),
        "Low BERTScore, high BLEU, which is rare: the annotations' phrasing without their meaning.",
        "Look for a pattern that the model exploits, such as annotations that all begin alike.",
        (("text/bleu", 1.0), ("text/bertscore_f1", -1.0)),
    ),
    Rule(
        "wrong-answers",
        "text",
        (Condition("text/bertscore_f1", "low"), Condition("text/bleu", "low")),
        "Low BERTScore, low BLEU: the answers are wrong or beside the point.",
        "Review the annotations; then try a larger model or more data.",
        (("text/bertscore_f1", -1.0), ("text/bleu", -1.0)),
    ),
    # --- structured answers
    Rule(
        "format-aim-reached",
        "format-aim",
        (Condition("structured/format_compliance", "high", _AIM),),
        "At least 95 % of the answers parse, the aim before deployment.",
        "Look at schema and fields next: an answer that parses may still be wrong. The samples are "
        "those that still fail.",
        (("structured/format_compliance", -1.0),),
    ),
    Rule(
        "format-aim-missed",
        "format-aim",
        (Condition("structured/format_compliance", "low", _AIM),),
        "Fewer than 95 % of the answers parse, the aim before deployment.",
        "Read the causes of the failures (`cause_...`); make annotations parse without exception, "
        "and ask for the format alone in the prompt.",
        (("structured/format_compliance", -1.0),),
    ),
    Rule(
        "broken-syntax",
        "fields",
        (
            Condition("structured/format_compliance", "low"),
            Condition("structured/field_f1", "high"),
        ),
        "The fields are right, but the answers do not parse as they are.",
        "The model knows the content: fix the syntax by annotations in one strict format, a higher "
        "token limit, or constrained decoding.",
        (("structured/format_compliance", -1.0), ("structured/field_f1", 1.0)),
    ),
    Rule(
        "wrong-fields",
        "fields",
        (
            Condition("structured/format_compliance", "high"),
            Condition("structured/field_f1", "low"),
        ),
        "The answers parse, but many fields are missing or wrong.",
        "The format is learnt and the content is not: add and review annotations of the worst fields.",
        (("structured/field_f1", -1.0),),
    ),
    Rule(
        "swapped-fields",
        "swapped-fields",
        (Condition("structured/swapped_rate", "high"),),
        "Many fields hold the value of another field.",
        "Give the fields clearer names and one fixed order, and look for annotations that mix them up.",
        (("structured/swapped_rate", 1.0),),
    ),
    Rule(
        "wrong-units",
        "wrong-units",
        (Condition("structured/wrong_unit_rate", "high"),),
        "Many values are right but for their unit.",
        "Annotate one unit throughout, and name it in the prompt or in the field's name.",
        (("structured/wrong_unit_rate", 1.0),),
    ),
    Rule(
        "made-up-fields",
        "made-up-fields",
        (Condition("structured/hallucinated_rate", "high"),),
        "Many fields are made up: the target does not have them.",
        "Name the allowed fields in the prompt, and add examples in which they are rightly absent.",
        (("structured/hallucinated_rate", 1.0),),
    ),
    Rule(
        "inconsistent-structure",
        "inconsistent-structure",
        (Condition("structured/consistency", "low"),),
        "Answers differ in their structure: the same fields and types come in too few of them.",
        "Annotate all samples with one structure, absent values included.",
        (("structured/consistency", -1.0),),
    ),
    # --- training
    Rule(
        "memorised",
        "memorised",
        (Condition("gap/primary", "high"),),
        "The model is far better on training samples than on validation samples: it has memorised.",
        "More diverse data, fewer epochs, or both.",
        (("primary", -1.0),),
    ),
    Rule(
        "declining",
        "trend",
        (Condition("primary", "declining"),),
        "The main value declines.",
        _IMPROVE,
        (("primary", -1.0),),
    ),
    Rule(
        "plateaued",
        "trend",
        (Condition("primary", "plateaued"), Condition("primary", "not high")),
        "The main value no longer moves, and is not high.",
        _IMPROVE,
        (("primary", -1.0),),
    ),
    # --- data
    Rule(
        "annotated-too-small",
        "annotated-size",
        (Condition("boxes/size_ratio", "high"),),
        "Predicted boxes are systematically larger than the annotated ones.",
        "Look at the annotated boxes: they may cut parts of the objects off, in validation or in "
        "training.",
        (("boxes/size_ratio", 1.0),),
    ),
    Rule(
        "annotated-too-big",
        "annotated-size",
        (Condition("boxes/size_ratio", "low"),),
        "Predicted boxes are systematically smaller than the annotated ones.",
        "Tighten the annotated boxes: they may hold background.",
        (("boxes/size_ratio", -1.0),),
    ),
    Rule(
        "phrase-annotated-too-small",
        "annotated-size",
        (Condition("phrase/size_ratio", "high"),),
        "For one phrase, predicted boxes are systematically larger than the annotated ones.",
        "Compare how this phrase is annotated with how the others are.",
    ),
    Rule(
        "phrase-annotated-too-big",
        "annotated-size",
        (Condition("phrase/size_ratio", "low"),),
        "For one phrase, predicted boxes are systematically smaller than the annotated ones.",
        "Tighten the annotated boxes of this phrase.",
    ),
    Rule(
        "annotator-tighter",
        "annotators",
        (Condition("annotator/size_ratio", "high"),),
        "One annotator or group draws tighter boxes than the others.",
        "Agree on one tightness and annotate again what differs: a mix teaches its average.",
    ),
    Rule(
        "annotator-looser",
        "annotators",
        (Condition("annotator/size_ratio", "low"),),
        "One annotator or group draws looser boxes than the others.",
        "Agree on one tightness and annotate again what differs: a mix teaches its average.",
    ),
    Rule(
        "references-begin-alike",
        "references-begin-alike",
        (Condition("references/shared_opening", "high"),),
        "Most references begin with the same words: a model scores by repeating them.",
        "Vary the annotated answers, or cut what they have in common.",
        (("references/shared_opening", 1.0),),
    ),
    Rule(
        "answers-begin-alike",
        "answers-begin-alike",
        (Condition("answers/shared_opening", "high"),),
        "Most answers begin with the same words, whatever is asked.",
        "Check whether the annotations begin alike too, and whether what follows is right.",
        (("answers/shared_opening", 1.0),),
    ),
    Rule(
        "conflicting-references",
        "conflicting-references",
        (Condition("references/conflicting", "some"),),
        "Some samples have the same image and prompt, and references that have nothing in common.",
        "Decide which of them is right, or give each sample all of the right answers.",
        (("references/conflicting", 1.0),),
    ),
    Rule(
        "conflicting-boxes",
        "conflicting-boxes",
        (Condition("boxes/conflicting", "some"),),
        "Some samples have the same image and phrase, and boxes that do not agree.",
        "Decide which boxes are right, and annotate the phrase alike wherever the image is used.",
        (("boxes/conflicting", 1.0),),
    ),
    Rule(
        "rare-phrases",
        "rare-phrases",
        (Condition("phrase/rare_gap", "high"),),
        "Phrases that are rare in the training data are found less often than the others.",
        "Annotate more images of them.",
    ),
    # --- notes
    *_notes("meteor", "text/meteor", "METEOR", 0.4, "good"),
    *_notes("rouge", "text/rougeL_recall", "ROUGE-L recall", 0.3, "reasonable"),
)
