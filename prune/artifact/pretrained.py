"""What `from_pretrained` does with a pruned model: cut the plain one before its weights are loaded.

transformers builds a model on the meta device, lets the "quantizer" that its config names change
it, then loads the weights, wherever and in whatever precision was asked for. Ours cuts away what
was pruned. It leaves an ordinary model behind, whose config still holds the outline.
Imported by `prune.autoload`, from within transformers: so nothing heavy here. docs/notes/loading.md
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

from transformers.quantizers.auto import register_quantization_config, register_quantizer
from transformers.quantizers.base import HfQuantizer
from transformers.utils.quantization_config import QuantizationConfigMixin

if TYPE_CHECKING:
    from transformers import PreTrainedModel

METHOD = "prune"


@final
class PrunedConfig(QuantizationConfigMixin):
    """The outline of a pruned model as its config.json has it."""

    def __init__(self, **content: Any) -> None:
        self.__dict__.update(content)
        self.quant_method = METHOD  # type: ignore[assignment]


@final
class PrunedLoader(HfQuantizer):
    """Raises CheckpointError for files that are not those saved, or an outline it cannot follow."""

    requires_calibration = False

    def _process_model_before_weight_loading(
        self, model: "PreTrainedModel", checkpoint_files: Sequence[str] | None = None, **_: Any
    ) -> None:
        from prune.artifact import seal, shape

        content = self.quantization_config.to_dict()
        outline = shape.read_outline(content, "config.json")
        if checkpoint_files and content.get("sha256"):
            seal.verify(Path(checkpoint_files[0]).parent, content["sha256"])
        shape.cut(model, outline)

    def _process_model_after_weight_loading(self, model: "PreTrainedModel", **_: Any) -> None:
        content = self.quantization_config.to_dict()
        content.pop("sha256", None)  # the weights may change from now on
        self.remove_quantization_config(model)  # type: ignore[no-untyped-call]
        for module in model.modules():
            vars(getattr(module, "config", self)).pop("_is_quantized", None)
        model.config.quantization_config = content

    def is_serializable(self, *_: Any, **__: Any) -> bool:
        return True

    @property
    def is_trainable(self) -> bool:
        return True


register_quantization_config(METHOD)(PrunedConfig)
register_quantizer(METHOD)(PrunedLoader)
