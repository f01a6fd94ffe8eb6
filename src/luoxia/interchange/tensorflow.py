"""Networks as TensorFlow's SavedModel: the graph that ONNX holds, each operation as TensorFlow's own.

Converters between the two are no longer kept up; a generator of images needs some forty operations, and these are they.
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from luoxia.core.errors import LuoxiaError, MissingExtraError
from luoxia.interchange.onnx import ExportModule, compare, to_onnx
from luoxia.interchange.tensorflow_operations import operations


def write_saved_model(module: ExportModule, out: Path) -> Path:
    """Write a SavedModel folder, after comparing what is read back from it with PyTorch.

    Its ``generate`` takes the module's inputs in their order and returns images float32 (n, height, width, channels) in
    [−1, 1]; the signature ``serving_default`` takes them by name.
    """
    tf = _tensorflow()
    saved = as_module(tf, to_onnx(module))
    facts = list(map("=".join, module.metadata().items()))
    saved.facts = tf.function(lambda: tf.constant(facts), input_signature=[])
    beside = out.with_name(f".{out.name[:40]}.{secrets.token_hex(8)}.tmp")
    try:
        tf.saved_model.save(saved, str(beside), signatures={"serving_default": saved.by_name})
        loaded = tf.saved_model.load(str(beside))
        compare(module, lambda inputs: _channels_first(loaded.generate(*inputs.values())), "TensorFlow")
        out.parent.mkdir(parents=True, exist_ok=True)
        beside.rename(out)
    except OSError as error:
        raise LuoxiaError(f"cannot write {out}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return out


def as_module(tf: Any, model: Any) -> Any:
    """An ONNX model (a ``ModelProto``) as a ``tf.Module`` with a ``generate``, any batch size; images channels last."""
    graph = model.graph
    constants = {tensor.name: _array(tensor) for tensor in graph.initializer}
    inputs = [value for value in graph.input if value.name not in constants]
    known = operations(tf)
    if missing := sorted({node.op_type for node in graph.node} - set(known)):
        raise LuoxiaError(
            f"the network computes {', '.join(missing)}, which format=tensorflow does not know yet"
        )
    specs = [_spec(tf, value) for value in inputs]
    module = tf.Module()

    def generate(*arguments: Any) -> Any:
        values: dict[str, Any] = {name: tf.constant(array) for name, array in constants.items()}
        values |= dict(zip([value.name for value in inputs], arguments, strict=True))
        for node in graph.node:
            results = known[node.op_type](_attributes(node), *(values.get(name) for name in node.input))
            results = results if isinstance(results, list | tuple) else [results]
            values |= dict(zip(node.output, results, strict=False))
        return tf.transpose(values[graph.output[0].name], [0, 2, 3, 1], name="images")

    module.generate = tf.function(generate, input_signature=specs)
    module.by_name = tf.function(
        lambda *arguments: {"images": module.generate(*arguments)}, input_signature=specs
    )
    return module


def _tensorflow() -> Any:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    try:
        import tensorflow
    except ImportError as error:
        raise MissingExtraError("export format=tensorflow", "tensorflow") from error
    return tensorflow


def _spec(tf: Any, value: Any) -> Any:
    """What an input must be: any size where ONNX has a name for it."""
    from onnx.helper import tensor_dtype_to_np_dtype

    kind = value.type.tensor_type
    shape = [size.dim_value if size.HasField("dim_value") else None for size in kind.shape.dim]
    return tf.TensorSpec(shape, tf.as_dtype(tensor_dtype_to_np_dtype(kind.elem_type)), name=value.name)


def _array(tensor: Any) -> Any:
    from onnx import numpy_helper

    return numpy_helper.to_array(tensor)


def _attributes(node: Any) -> Mapping[str, Any]:
    from onnx.helper import get_attribute_value

    return {attribute.name: get_attribute_value(attribute) for attribute in node.attribute}


def _channels_first(images: Any) -> Any:
    return np.moveaxis(images.numpy(), 3, 1)
