"""The fields of a configuration, each checked for its kind as it is read."""

import json
from collections.abc import Mapping
from typing import TypeVar, cast

from codesign.errors import CodesignError

Config = Mapping[str, object]
_Value = TypeVar("_Value")

BESIDES_THE_MODEL = frozenset(
    (
        # What the file is, and who wrote it.
        "architectures", "auto_map", "dtype", "id2label", "is_llama_config", "label2id", "model_type", "problem_type",
        "tokenizer_class", "torch_dtype", "transformers.js_config", "transformers_version", "unsloth_fixed",
        # How tokens are chosen, and what `transformers` returns.
        "do_sample", "max_length", "temperature", "top_p", "chunk_size_feed_forward", "is_decoder",
        "output_attentions", "output_hidden_states", "output_router_logits", "return_dict", "use_cache",
        # Training.
        "attention_dropout", "attention_probs_dropout_prob", "attn_pdrop", "classifier_dropout", "embd_pdrop",
        "embedding_dropout", "gradient_checkpointing", "hidden_dropout", "hidden_dropout_prob", "initializer_range",
        "resid_pdrop", "residual_dropout", "router_aux_loss_coef", "router_jitter_noise",
        # How another program runs it: same values.
        "cache_implementation", "pretraining_tp",
        # Heads for other tasks.
        "summary_activation", "summary_first_dropout", "summary_proj_to_labels", "summary_type", "summary_use_proj",
        "task_specific_params",
    )
)  # fmt: skip
"""Fields that change nothing of what a decoder computes. Neither do those that begin with an underscore, or name one of
the tokenizer's own tokens (``pad_token_id``)."""


class Fields:
    """A configuration, which remembers the fields that were asked for."""

    def __init__(self, config: Config, where: str):
        self.config = config
        self.where = where
        self._read: set[str] = set()

    def integer(self, name: str, default: int | None = None) -> int:
        """An integer field."""
        value = self._get(name)
        if value is None and default is not None:
            return default
        if not isinstance(value, int) or isinstance(value, bool):
            raise self._wrong(name, "an integer", value)
        return value

    def number(self, name: str, default: float | None = None) -> float:
        """A numeric field."""
        value = self._get(name)
        if value is None and default is not None:
            return default
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise self._wrong(name, "a number", value)
        return float(value)

    def numbers(self, name: str) -> tuple[float, ...]:
        """A list of numbers."""
        value = self._get(name)
        values = cast(list[object], value) if isinstance(value, list) else []
        numbers = [float(one) for one in values if isinstance(one, int | float) and not isinstance(one, bool)]
        if not values or len(numbers) != len(values):
            raise self._wrong(name, "a list of numbers", self.config.get(name))
        return tuple(numbers)

    def text(self, name: str, default: str | None = None) -> str:
        """A text field."""
        value = self._get(name) if default is None else self._get(name, default)
        if not isinstance(value, str):
            raise self._wrong(name, "a text", value)
        return value

    def flag(self, name: str, default: bool) -> bool:
        """A true or false field."""
        value = self._get(name, default)
        if not isinstance(value, bool):
            raise self._wrong(name, "true or false", value)
        return value

    def fields(self, name: str) -> "Fields":
        """An object field; empty when absent."""
        value = self._get(name)
        if value is None:
            return Fields({}, self.where)
        if not isinstance(value, dict):
            raise self._wrong(name, "an object", value)
        return Fields(cast(Config, value), f"{self.where}: {name}")

    def of_layers(self, name: str, layers: int, kind: type[_Value]) -> list[_Value] | None:
        """A list with a value of one kind for each layer; None when absent."""
        value = self._get(name)
        if value is None:
            return None
        values = cast(list[object], value) if isinstance(value, list) else []
        if len(values) != layers or not all(isinstance(item, kind) for item in values):
            wanted = f"a list of {layers} {kind.__name__}, one a layer"
            raise self._wrong(name, wanted, self.config[name])
        return cast(list[_Value], values)

    def has(self, name: str) -> bool:
        """Whether a field is there and not null."""
        return self._get(name) is not None

    def expect(self, name: str, *supported: object) -> None:
        """Refuse a field with another value than these; absent is always right."""
        value = self._get(name)
        if value is not None and not any(value is one or value == one for one in supported):
            known = " or ".join(json.dumps(one) for one in supported)
            raise CodesignError(
                f"{self.where}: {name} {json.dumps(value)[:60]} is not supported; supported: {known or 'none'}"
            )

    def choose(self, name: str, meanings: Mapping[str, _Value], default: str | None = None) -> _Value:
        """What a text field stands for."""
        value = self.text(name, default)
        if value not in meanings:
            known = ", ".join(sorted(meanings))
            raise CodesignError(f"{self.where}: {name} '{value[:60]}' is not supported; supported: {known}")
        return meanings[value]

    def skip(self, *names: str) -> None:
        """Fields that are known and need not be read."""
        self._read.update(names)

    def refuse_unread(self) -> None:
        """Refuse a field that was not asked for and may change what the model computes; null and false do not.

        Raises
        ------
        CodesignError
            Naming the field.
        """
        for name, value in self.config.items():
            if name in self._read or name in BESIDES_THE_MODEL or name.startswith("_") or name.endswith("_token_id"):
                continue
            if value is not None and value is not False:
                raise CodesignError(
                    f"{self.where}: the field {json.dumps(name[:60])} is not known, and may change the model; "
                    "expected it to be absent, null or false"
                )

    def _get(self, name: str, default: object = None) -> object:
        self._read.add(name)
        return self.config.get(name, default)

    def _wrong(self, name: str, wanted: str, value: object) -> CodesignError:
        if name not in self.config:
            return CodesignError(f"{self.where}: the field '{name}' is missing; expected {wanted}")
        return CodesignError(f"{self.where}: '{name}' must be {wanted}, got {json.dumps(value)[:60]}")
