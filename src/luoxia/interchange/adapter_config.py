"""``adapter_config.json`` of a PEFT folder: plain LoRA with its patterns of ranks and scales; all else is refused."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from luoxia.core.errors import LuoxiaError
from luoxia.interchange.config import Config

PLAIN_STARTS = ("gaussian", "eva", "orthogonal", "mica", "true", "false")
"""How A and B may begin without a change of the weights beneath them."""
HARMLESS = frozenset([
    "task_type", "auto_mapping", "peft_version", "base_model_name_or_path", "base_model_class", "parent_library",
    "revision", "inference_mode", "fan_in_fan_out", "megatron_core", "qalora_group_size", "eva_config",
    "runtime_config",
])  # fmt: skip
"""Keys of adapter_config.json that change nothing of what a plain adapter adds."""


@dataclass(frozen=True)
class AdapterSettings:
    """What adapter_config.json says: a key that is neither read nor harmless may change what the adapter adds."""

    config: Config
    rank: int
    alpha: float
    stabilized: bool  # α/√r (Kalajdzievski 2023, arXiv:2312.03732), not α/r
    dropout: float

    @classmethod
    def read(cls, folder: Path) -> AdapterSettings:
        """``LuoxiaError`` names the key that makes it another kind than LoRA."""
        config = Config(folder / "adapter_config.json")
        config.only(peft_type="LORA", bias="none", use_dora=False, lora_bias=False, use_qalora=False)
        config.without(
            "modules_to_save", "target_parameters", "trainable_token_indices", "alora_invocation_tokens",
            "layer_replication", "loftq_config", "corda_config", "lora_ga_config", "arrow_config",
        )  # fmt: skip
        start = config.get("init_lora_weights", True)
        if start not in (True, False, None) and str(start).lower() not in PLAIN_STARTS:
            raise LuoxiaError(
                f"{config.path}: init_lora_weights={str(start)[:60]} is not supported: it changes the weights beneath "
                "the adapter; save it in PEFT with path_initial_model_for_weight_conversion, which makes it plain LoRA"
            )
        for key in ("rank_pattern", "alpha_pattern"):
            if not isinstance(config.get(key) or {}, dict):
                raise config.wrong(key, "an object from layers to numbers")
        settings = cls(
            config,
            config.size("r", 8),
            config.number("lora_alpha", 8),
            config.flag("use_rslora", False),
            config.share("lora_dropout"),
        )
        for key in ("target_modules", "exclude_modules", "layers_pattern", "layers_to_transform"):
            value, kind = config.get(key), int if key == "layers_to_transform" else str
            several = value if isinstance(value, list) else [] if value is None else [value]
            if not all(type(one) is kind for one in several):
                raise config.wrong(key, "numbers of layers" if kind is int else "names or patterns of layers")
        config.refuse_unread("a LoRA adapter", HARMLESS)
        return settings

    @property
    def scale(self) -> float:
        """By what the product of a layer counts for which no pattern says more."""
        return self._scale(self.alpha, self.rank)

    def _scale(self, alpha: float, rank: int) -> float:
        return alpha / (rank**0.5 if self.stabilized else rank)

    def of(self, layer: str) -> tuple[int, float]:
        """The rank of a layer's adapter, and by what its product counts beside ``scale``; ``layer`` is their name."""
        rank, alpha = (
            self._of_pattern(key, layer, usual)
            for key, usual in (("rank_pattern", self.rank), ("alpha_pattern", self.alpha))
        )
        return int(rank), self._scale(alpha, int(rank)) / self.scale

    def _of_pattern(self, key: str, layer: str, usual: float) -> float:
        for pattern, value in (self.config.get(key) or {}).items():
            if self._match(rf"(.*\.)?({pattern})$", layer, key):
                if type(value) not in (int, float) or value <= 0:
                    raise self.config.wrong(key, "positive numbers for layers")
                return float(value)
        return usual

    def _match(self, pattern: str, layer: str, key: str) -> re.Match[str] | None:
        try:
            return re.match(pattern, layer)
        except re.error as error:
            raise self.config.wrong(key, "names or patterns of layers") from error

    def adapts(self, layer: str) -> bool:
        """Whether PEFT takes up the adapter of this layer: it passes over the tensors of all others."""
        targets = self.config.get("target_modules")
        if self._named("exclude_modules", layer) or not (
            targets is None or self._named("target_modules", layer)
        ):
            return False
        only = self.config.get("layers_to_transform")
        if only is None or only == [] or isinstance(targets, str):
            return True
        patterns = self.config.get("layers_pattern") or "[^.]*"
        for pattern in [patterns] if isinstance(patterns, str) else patterns:
            match = self._match(rf"(?:^|.*?\.){pattern}\.(?P<index>\d+)\.", layer, "layers_pattern")
            if match is not None:
                return int(match["index"]) in (only if isinstance(only, list) else [only])
        return False

    def _named(self, key: str, layer: str) -> bool:
        names = self.config.get(key) or []
        if isinstance(names, str):
            return names == "all-linear" or self._match(f"({names})$", layer, key) is not None
        return any(layer == name or layer.endswith(f".{name}") for name in names)
