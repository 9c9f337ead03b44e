"""Scores held-out pairs with the model in training, at fixed steps."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from probe import held_out
from probe.config import Kind
from probe.encode import Encoder
from probe.training_request import Request
from probe.types import Item, Measure


def held_out_pairs(
    request: Request,
    model: Any,
    encoder: Encoder,
    arguments: Any,
    rows: Sequence[Mapping[str, object]],
) -> held_out.HeldOut | None:
    """The pairs to watch; None: there are none, or nothing is preferred.

    Args:
        request: How many, and where they are kept.
        model: The base, before it is adapted: its layers are then replaced in place.
        encoder: How texts are encoded.
        arguments: The trainer's: pairs longer than its `max_length` are left out, and
            margins are in units of its `beta`.
        rows: Held out of the mix.
    """
    if request.plan.stage == "sft" or not request.held_out_rows:
        return None
    limit: int | None = arguments.max_length

    def fits(item: Item) -> bool:
        encoded = encoder.encode(item)
        if any(one.error is not None for one in encoded):
            return False
        # What was cut off counts.
        longest = max(len(one.token_ids) + one.truncated_tokens for one in encoded)
        return limit is None or longest <= limit

    drawn = held_out.draw(held_out.items(rows), request.held_out_rows, fits)
    if not drawn:
        return None
    of_policy = request.plan.stage == "dpo"
    score = _log_probs(model, encoder) if of_policy else _rewards(model, encoder)
    return held_out.HeldOut(
        items=drawn,
        score=score,
        beta=arguments.beta if of_policy else None,
        file=request.out / "held_out.jsonl",
    )


_Scores = Callable[[Sequence[Item]], Sequence[float]]


def _log_probs(model: Any, encoder: Encoder) -> _Scores:
    """Summed log-probabilities of answers with their end, as DPO compares them."""
    from probe.models import engine, implicit, policy

    scorer = policy.of_model(
        model.eval(), encoder.config, encoder, engine.DEFAULT_BATCH_TOKENS
    )

    def score(items: Sequence[Item]) -> Sequence[float]:
        encoded = [
            implicit.completion(one)
            for item in items
            for one in encoder.encode(item, Kind.IMPLICIT_REWARD)
        ]
        return scorer.sums(encoded)

    return _in_evaluation(model, score)


def _rewards(model: Any, encoder: Encoder) -> _Scores:
    """Rewards by the trained head, which an adapter keeps in a place of its own."""
    from probe.models import checkpoints, engine, reward

    scorer = reward.of_model(
        model.eval(), encoder.config, encoder, engine.DEFAULT_BATCH_TOKENS, adapted=True
    )
    assert isinstance(scorer, reward.RewardScorer), "a fresh head is read at a token"
    prefix = model.base_model_prefix
    [name] = [name for name, _ in model.named_children() if name != prefix]

    def score(items: Sequence[Item]) -> Sequence[float]:
        state = checkpoints.trained(model.get_submodule(name)).state_dict()
        scorer.head.load_state_dict({key: one.float() for key, one in state.items()})
        found = scorer.score([one for item in items for one in scorer.encode(item)])
        return [values[Measure.REWARD] for values in found]

    return _in_evaluation(model, score)


def _in_evaluation(model: Any, score: _Scores) -> _Scores:
    """The same without dropout, whatever the model is in the midst of."""

    def quiet(items: Sequence[Item]) -> Sequence[float]:
        training = model.training
        model.eval()
        try:
            return score(items)
        finally:
            model.train(training)

    return quiet


def watcher(pairs: held_out.HeldOut, epoch_tokens: int, times: int) -> Any:
    """A callback of the trainer that scores held-out pairs at fixed steps.

    Args:
        pairs: To score.
        epoch_tokens: Tokens of an epoch.
        times: How often, the first before any step and the last after all.
    """
    from transformers import TrainerCallback

    def measure(state: Any) -> None:
        due = {round(at * state.max_steps / (times - 1)) for at in range(times)}
        if state.global_step in due:
            tokens = round(epoch_tokens * (state.epoch or 0.0))
            pairs.measure(step=state.global_step, tokens=tokens)

    class Watch(TrainerCallback):
        """Scores them before the first step, after the last, and between."""

        def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            measure(state)

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            measure(state)

    return Watch()
