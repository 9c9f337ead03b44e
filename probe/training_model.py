"""The base of a stage as a trainer takes it."""

from __future__ import annotations

from typing import Any

from probe.training_arguments import dtype_of
from probe.training_request import Request
from probe.types import ConfigError


def load_base(request: Request, tokenizer: Any) -> Any:
    """The base, ready to be adapted; of a reward model with a fresh head.

    Raises:
        ConfigError: A reward model's base lies on several devices.
        WeightsError: As `checkpoints.causal_lm`.
    """
    import torch
    import transformers

    from probe.models import checkpoints

    base = request.base
    placement = checkpoints.place(request.device, dtype_of(request.plan))
    model = checkpoints.causal_lm(base.config, base.resolved, "weights", placement)
    model.requires_grad_(True)
    model.config.get_text_config().pad_token_id = tokenizer.pad_token_id
    if request.plan.stage != "reward":
        return model
    if checkpoints.spread(model):
        raise ConfigError(
            f"{request.where}: {base.config.where} is larger than one device",
            "A reward model is trained on one device, or on several that hold it whole",
            "Take a smaller base, or write `model_init_kwargs: {dtype: bfloat16}`",
        )
    # The head alone is new, and drawn by the seed; the backbone is the policy's.
    declared = model.config
    declared.num_labels = 1
    transformers.set_seed(request.seed)
    with torch.device("meta"):
        kind = transformers.AutoModelForSequenceClassification
        classifier: Any = kind.from_config(declared)
    setattr(classifier, classifier.base_model_prefix, model.base_model)
    for name, module in classifier.named_children():
        if name != classifier.base_model_prefix:
            module.to_empty(device=placement.device)
            spread = declared.get_text_config().initializer_range
            for parameter in module.parameters():
                torch.nn.init.normal_(parameter, std=spread)
            module.to(placement.dtype)
    classifier.name_or_path = model.name_or_path
    return classifier
