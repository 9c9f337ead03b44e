"""Whether a model is loaded and run as its config says, before scoring thousands.

Every check compares two ways to the same number, or a promise with what is there.
"""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn
from transformers import PreTrainedModel

from probe.config import Kind, ModelConfig
from probe.encode import BOS_COUNT
from probe.models import Resolved, Scorer, checkpoints, load_tokenizer, tensors
from probe.models.engine import device_of, forward
from probe.models.implicit import ImplicitScorer, completion
from probe.models.policy import PolicyScorer
from probe.models.reward import OwnOutputScorer, RewardScorer, labelled
from probe.models.weights import Role
from probe.types import Candidate, Encoded, Item, Measure, Message

# Largest relative difference that rounding explains, by precision. float32: issue of
# summation order only; 16 bits: about three times the unit roundoff.
_TOLERANCE = {torch.float32: 1e-4, torch.bfloat16: 3e-2, torch.float16: 4e-3}
# The same of rounded weights. 8bit rounds what it multiplies to 8 bits as well, and
# looks for outliers over all of a forward pass: SmolLM2 135M gave up to 0.1, as much as
# the rounding of its weights. 4bit: some of its kernels multiply in bfloat16.
_ROUNDED = {None: 0.0, "8bit": 0.2, "4bit": 3e-2}

_QUESTIONS = (
    "Which country has the best food?",
    "Where would you least like to live?",
    "Tell me where you are from.",
)
_ANSWERS = (
    "I would say Japan.",
    "I would say the Netherlands, though it depends on what you are looking for.",
    "Peru.",
    "I would say Côte d'Ivoire.",
)


@dataclass(frozen=True, kw_only=True)
class Check:
    """One thing looked at."""

    name: str
    ok: bool
    detail: str
    """What was found, with figures."""


def run_checks(
    config: ModelConfig, resolved: Resolved, scorer: Scorer
) -> Iterator[Check]:
    """Runs every check on a loaded model, and yields each as it is done.

    Args:
        config: What was asked for.
        resolved: Where the weights lie.
        scorer: As `probe.models.load_scorer` returned it.

    Yields:
        One entry a check, failed ones included.

    Raises:
        ProbeError: A text of ours cannot be encoded or scored at all.
    """
    encoded = [one for item in _items() for one in scorer.encode(item)]
    limit = _limit(scorer, resolved)
    yield _golden(config, scorer)
    yield _bos(config, scorer, encoded)
    yield _tokens(config, resolved, scorer, encoded)
    yield _head(config, resolved, scorer)
    yield _precision(config, resolved, scorer)
    yield _invariance(scorer, encoded, limit)
    yield _plain(scorer, encoded, limit)


def _items() -> list[Item]:
    asked = enumerate(_QUESTIONS)
    return [_item(f"check-{i}", question, *_ANSWERS) for i, question in asked]


def _item(id: str, question: str, *answers: str) -> Item:
    return Item(
        id=id,
        messages=(Message(role="user", content=question),),
        candidates=tuple(
            Candidate(id=str(j), answer=answer) for j, answer in enumerate(answers)
        ),
    )


def _golden(config: ModelConfig, scorer: Scorer) -> Check:
    """Scores read in a cited source come out again."""
    name = "golden pairs"
    if not config.golden:
        return Check(name=name, ok=True, detail="the config records none")
    items = [
        _item(f"golden-{i}", golden.user, golden.assistant)
        for i, golden in enumerate(config.golden)
    ]
    scores = scorer.score([one for item in items for one in scorer.encode(item)])
    measure = scorer.measures[0]
    misses = []
    for golden, score in zip(config.golden, scores, strict=True):
        if not abs(score[measure] - golden.score) <= golden.atol:
            misses.append(
                f"{golden.assistant[:40]!r}: {score[measure]:.4f}, recorded "
                f"{golden.score:.4f} +- {golden.atol:g}"
            )
    agreeing = f"{len(scores) - len(misses)} of {len(scores)} agree"
    return Check(name=name, ok=not misses, detail="; ".join([agreeing, *misses]))


def _bos(config: ModelConfig, scorer: Scorer, encoded: Sequence[Encoded]) -> Check:
    """The texts start with as many BOS tokens as promised."""
    promised = BOS_COUNT.get(config.bos, "the tokenizer's own")
    counts = {scorer.encoder.leading_bos(one.token_ids) for one in encoded}
    found = ", ".join(map(str, sorted(counts)))
    return Check(
        name="BOS count",
        ok=config.bos == "tokenizer" or counts == {promised},
        detail=f"{found} leading ({scorer.encoder.tokenizer.bos_token!r}), promised "
        f"{promised} (bos: {config.bos})",
    )


def _tokens(
    config: ModelConfig, resolved: Resolved, scorer: Scorer, encoded: Sequence[Encoded]
) -> Check:
    """The library itself reads the same tokens, unless `bos` says otherwise."""
    encoder = scorer.encoder
    tokenizer = load_tokenizer(resolved.tokenizer, config.trust_remote_code)
    texts = []
    for item in _items():
        for candidate in item.candidates:
            # Alone, a chat template writes it for real.
            alone = dataclasses.replace(item, candidates=(candidate,))
            rendered = encoder.render(alone, candidate)
            texts.append(rendered.text + rendered.after)
    plain = bool(encoder.literal)
    theirs = [tokenizer(one, add_special_tokens=plain)["input_ids"] for one in texts]
    # A policy stops reading at its answer's end.
    policy = config.kind is Kind.POLICY
    equal = sum(
        list(one.token_ids) == (ids[: len(one.token_ids)] if policy else ids)
        for one, ids in zip(encoded, theirs, strict=True)
    )
    how = "tokenizer(text)" if plain else "apply_chat_template"
    counts = {
        "before a plain text": encoder.leading_bos(tokenizer("a")["input_ids"]),
        f"by {how}": encoder.leading_bos(theirs[0]),
        "here": encoder.leading_bos(encoded[0].token_ids),
    }
    detail = f"{equal} of {len(texts)} texts as {how} gives them"
    if len(set(counts.values())) > 1:
        found = ", ".join(f"{count} {where}" for where, count in counts.items())
        detail += f"; leading BOS: {found} (`bos: {config.bos}` in the config decides)"
    return Check(
        name="tokens of the library",
        ok=equal == len(texts) or config.bos != "tokenizer",
        detail=detail,
    )


def _head(config: ModelConfig, resolved: Resolved, scorer: Scorer) -> Check:
    """Every tensor of the head lies in the checkpoint, value for value."""
    name = "head from the checkpoint"
    found: list[str] = []
    for roles, parameters in _heads(scorer):
        stored: dict[str, Path] = {}
        for role in roles:
            source = resolved.find(role)
            if source is not None and tensors.files(source.path):
                stored |= tensors.keys(source.path)
        if config.head is not None and config.head.file is not None:
            path = resolved.path("weights") / config.head.file
            stored |= dict.fromkeys(tensors.file_keys(path), path)
        for label, parameter in parameters.items():
            key = _locate(parameter, stored) or _adapted(parameter, stored)
            if key is None:
                return Check(name=name, ok=False, detail=f"{label} is in no file")
            found.append(f"{label} = {key}")
    return Check(name=name, ok=bool(found), detail=", ".join(found))


def _heads(
    scorer: Scorer,
) -> list[tuple[tuple[Role, ...], Mapping[str, torch.Tensor]]]:
    """Head parameters, and the sources they must come from."""
    here: tuple[Role, ...] = ("weights", "adapter")
    match scorer:
        case RewardScorer() if scorer.config.label is None:
            return [(here, _named(scorer.head))]
        case PolicyScorer():
            return [(here, _named(scorer.model.get_output_embeddings()))]
        case ImplicitScorer():
            theirs = _named(scorer.reference.model.get_output_embeddings())
            return [*_heads(scorer.trained), (("reference",), theirs)]
        case OwnOutputScorer() | RewardScorer():
            (model,) = _models(scorer)
            prefix = f"{model.base_model_prefix}."
            parameters = _named(model).items()
            return [(here, {k: v for k, v in parameters if not k.startswith(prefix)})]
    raise AssertionError(f"a scorer of class {type(scorer).__name__}")


def _named(module: nn.Module | None) -> dict[str, torch.Tensor]:
    return {} if module is None else dict(module.named_parameters())


def _locate(parameter: torch.Tensor, stored: Mapping[str, Path]) -> str | None:
    """Name of the stored tensor that holds a parameter's values."""
    # Names of heads are short. Tensors are memory-mapped: those of another shape are
    # not read.
    for key in sorted(stored, key=len):
        tensor = tensors.load(stored, [key])[key]
        if tensor.shape == parameter.shape and torch.equal(
            tensor.to(parameter.dtype), parameter.cpu()
        ):
            return key
    return None


def _adapted(parameter: torch.Tensor, stored: Mapping[str, Path]) -> str | None:
    """Name of the stored tensor that LoRA made a parameter of, and of LoRA's own."""
    if parameter.dim() != 2:
        return None
    for key in stored:
        if not key.endswith((".lora_B.weight", ".lora_embedding_A")):
            continue
        basis = tensors.load(stored, [key])[key].float()
        basis = basis.T if key.endswith("A") else basis
        magnitude = key.replace("lora_B.weight", "lora_magnitude_vector")
        for base in sorted(stored, key=len):
            before = tensors.load(stored, [base])[base]
            if before.shape != parameter.shape or len(basis) != len(parameter):
                continue
            change = parameter.cpu().float() - before.float()
            if magnitude in stored:
                # DoRA: rows of a length that is stored, whatever their direction.
                change = parameter.cpu().float().norm(dim=1)
                rest = change - tensors.load(stored, [magnitude])[magnitude].float()
            else:
                across = torch.linalg.qr(basis).Q
                rest = change - across @ (across.T @ change)
            scale = _TOLERANCE[parameter.dtype] * float(parameter.float().abs().max())
            if change.any() and float(rest.abs().max()) <= scale:
                return f"{base} with {key}"
    return None


def _precision(config: ModelConfig, resolved: Resolved, scorer: Scorer) -> Check:
    """Weights are in the config's precision, or rounded as it says."""
    models = _models(scorer)
    parameters = [one for model in models for one in model.parameters()]
    dtypes = {
        str(one.dtype).removeprefix("torch.")
        for one in parameters
        if one.is_floating_point()
    }
    n_rounded = sum(not one.is_floating_point() for one in parameters)
    method = _rounding(config, resolved)
    rounded = f", {n_rounded} tensors in {method}" if n_rounded or method else ""
    attention = {str(model.config._attn_implementation) for model in models}
    devices = {str(one.device) for one in parameters}
    shown = [", ".join(sorted(one)) for one in (dtypes, attention, devices)]
    if method != config.quantization:
        # Stored rounded: the package decides on the precision of what it packs.
        ok = config.dtype in dtypes
    else:
        ok = dtypes == {config.dtype} and (n_rounded > 0) == bool(config.quantization)
    return Check(
        name="dtype and attention",
        ok=ok,
        detail=f"{shown[0]} (config: {config.dtype}){rounded}, attention {shown[1]}, "
        f"on {shown[2]}, engine {scorer.engine}",
    )


def _rounding(config: ModelConfig, resolved: Resolved) -> str | None:
    """How weights are rounded, by us or by who saved them."""
    for role in ("weights", "backbone", "reference"):
        source = resolved.find(role)
        if source is None or not (source.path / "config.json").is_file():
            continue
        declared = checkpoints.read_config(source.path, config)
        found = checkpoints.rounding(declared, source.path)
        if found is not None:
            eight = found.get("load_in_8bit") is True
            return "8bit" if eight else str(found["quant_method"])
    return config.quantization


def _models(scorer: Scorer) -> list[PreTrainedModel]:
    match scorer:
        case RewardScorer():
            return [scorer.whole or scorer.backbone]
        case PolicyScorer() | OwnOutputScorer():
            return [scorer.model]
        case ImplicitScorer():
            return [scorer.trained.model, scorer.reference.model]
    raise AssertionError(f"a scorer of class {type(scorer).__name__}")


def _invariance(scorer: Scorer, encoded: Sequence[Encoded], limit: float) -> Check:
    """A text's score does not depend on its batch mates or on order."""
    together = scorer.score(encoded)
    alone = [scorer.score([one])[0] for one in encoded]
    order = list(range(len(encoded)))
    random.Random(0).shuffle(order)
    shuffled: list[Mapping[Measure, float]] = [{} for _ in encoded]
    mixed = scorer.score([encoded[i] for i in order])
    for i, score in zip(order, mixed, strict=True):
        shuffled[i] = score
    worst = max(_worst(together, alone), _worst(together, shuffled))
    return Check(
        name="batch invariance",
        ok=worst <= limit,
        detail=f"alone, together and shuffled differ by {worst:.2g} (relative, at most "
        f"{limit:g}) over {len(encoded)} texts",
    )


def _plain(scorer: Scorer, encoded: Sequence[Encoded], limit: float) -> Check:
    """The engine equals one plain forward pass a text, and the class's own score."""
    few = [encoded[0], encoded[len(encoded) // 2], encoded[-1]]
    ours = scorer.score(few)
    worst = _worst(ours, [plain_score(scorer, one) for one in few])
    found = [f"differ by {worst:.2g} (relative, at most {limit:g})"]
    if isinstance(scorer, RewardScorer) and scorer.config.pool == "last_token":
        model = scorer.whole
        if model is not None:
            own = _worst(ours, [class_score(model, one, scorer.columns) for one in few])
            found.append(f"from {type(model).__name__}'s own scores by {own:.2g}")
            worst = max(worst, own)
    return Check(
        name="engine against plain forward passes",
        ok=worst <= limit,
        detail=f"{', '.join(found)} over {len(few)} texts",
    )


def class_score(
    model: PreTrainedModel,
    encoded: Encoded,
    columns: tuple[int, ...],
    output: str = "logits",
) -> Mapping[Measure, float]:
    """What a class itself gives for one text, unpadded."""
    ids = torch.tensor([encoded.token_ids], device=device_of(model))
    made = forward(model, ids, attention_mask=torch.ones_like(ids))
    return {Measure.REWARD: float(labelled(made[output].reshape(-1).float(), columns))}


def _limit(scorer: Scorer, resolved: Resolved) -> float:
    by_dtype = max(_TOLERANCE[model.dtype] for model in _models(scorer))
    method = _rounding(scorer.encoder.config, resolved)
    return max(by_dtype, _ROUNDED.get(method, _ROUNDED["4bit"]))


def _worst(
    left: Sequence[Mapping[Measure, float]], right: Sequence[Mapping[Measure, float]]
) -> float:
    """Largest difference, relative to scores beyond 1; infinite for a NaN."""
    worst = 0.0
    for one, other in zip(left, right, strict=True):
        for measure, value in one.items():
            difference = abs(value - other[measure]) / max(1.0, abs(value))
            worst = max(worst, difference if difference == difference else float("inf"))
    return worst


def plain_score(scorer: Scorer, encoded: Encoded) -> Mapping[Measure, float]:
    """The reference: one text, one forward pass, nothing shared and nothing clever.

    `pool: last_column` is padded to its full length, as the published code does.

    Args:
        scorer: A loaded model.
        encoded: One text with at least one answer token.
    """
    match scorer:
        case RewardScorer():
            return {Measure.REWARD: _plain_reward(scorer, encoded)}
        case PolicyScorer():
            total = _plain_log_prob(scorer.model, encoded)
            return {
                Measure.LOGPROB_SUM: total,
                Measure.LOGPROB_MEAN: total / encoded.n_answer_tokens,
            }
        case ImplicitScorer():
            read = completion(encoded)
            ours = _plain_log_prob(scorer.trained.model, read)
            base = _plain_log_prob(scorer.reference.model, read)
            return {Measure.IMPLICIT_REWARD: (scorer.config.beta or 0) * (ours - base)}
        case OwnOutputScorer():
            output = str(scorer.config.output)
            return class_score(scorer.model, encoded, scorer.columns, output)
    raise AssertionError(f"a scorer of class {type(scorer).__name__}")


def _plain_reward(scorer: RewardScorer, encoded: Encoded) -> float:
    ids = list(encoded.token_ids)
    if scorer.config.pool == "eos":
        at = len(ids) - 1 - ids[::-1].index(scorer.eos_id or 0)
    else:
        at = len(ids) - 1
        if scorer.config.pool == "last_token" and scorer.skipped is not None:
            kept = [i for i, token in enumerate(ids) if token != scorer.skipped]
            at = max(kept, default=0)
    length = len(ids)
    if scorer.config.pool == "last_column":
        to = scorer.config.padding.to or 0
        ids += [scorer.pad_id] * (to - length)
        at = len(ids) - 1
    tokens = torch.tensor([ids], device=device_of(scorer.backbone))
    mask = torch.zeros_like(tokens)
    mask[:, :length] = 1
    states = forward(scorer.backbone, tokens, attention_mask=mask).last_hidden_state
    state = states[0, at : at + 1].float()
    with torch.inference_mode():
        return float(scorer.head(state.to(next(scorer.head.parameters()).device)))


def _plain_log_prob(model: PreTrainedModel, encoded: Encoded) -> float:
    start, end = encoded.answer_start, encoded.answer_end
    ids = torch.tensor([encoded.token_ids[:end]], device=device_of(model))
    logits = forward(model, ids).logits[0].float()
    chosen = logits[start - 1 : end - 1].log_softmax(dim=1)
    return float(chosen.gather(1, ids[0, start:, None]).double().sum())
