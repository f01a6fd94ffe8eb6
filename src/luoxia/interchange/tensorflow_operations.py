"""What each operation of ONNX is in TensorFlow: a function of its attributes and inputs. Images are channels first."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from luoxia.core.errors import LuoxiaError

Attributes = Mapping[str, Any]
Operation = Callable[..., Any]

LARGEST = 2**31 - 1


def operations(tf: Any) -> dict[str, Operation]:
    """Operations by ONNX's name (https://onnx.ai/onnx/operators, version 20)."""
    return {
        **_elementwise(tf),
        **_shapes(tf),
        **_parts(tf),
        **_products(tf),
        **_convolutions(tf),
        **_resizing(tf),
    }


def _elementwise(tf: Any) -> dict[str, Operation]:
    unary = {
        "Relu": tf.nn.relu, "Tanh": tf.tanh, "Sigmoid": tf.sigmoid, "Exp": tf.exp, "Sqrt": tf.sqrt, "Erf": tf.math.erf,
        "Neg": tf.negative, "Abs": tf.abs, "Reciprocal": tf.math.reciprocal, "Identity": tf.identity,
        "Not": tf.logical_not, "Softplus": tf.nn.softplus, "Sin": tf.sin, "Cos": tf.cos,
    }  # fmt: skip
    binary = {
        "Add": tf.add, "Sub": tf.subtract, "Mul": tf.multiply, "Equal": tf.equal, "Less": tf.less,
        "Greater": tf.greater, "And": tf.logical_and, "Or": tf.logical_or, "Max": tf.maximum, "Min": tf.minimum,
    }  # fmt: skip

    def clip(_: Attributes, x: Any, low: Any = None, high: Any = None) -> Any:
        x = x if low is None else tf.maximum(x, low)
        return x if high is None else tf.minimum(x, high)

    def divide(_: Attributes, a: Any, b: Any) -> Any:
        return tf.math.truediv(a, b) if a.dtype.is_floating else tf.math.floordiv(a, b)

    def gelu(attributes: Attributes, x: Any) -> Any:
        return tf.nn.gelu(x, approximate=attributes.get("approximate", b"none") == b"tanh")

    def cast(attributes: Attributes, x: Any) -> Any:
        from onnx.helper import tensor_dtype_to_np_dtype

        return tf.cast(x, tf.as_dtype(tensor_dtype_to_np_dtype(attributes["to"])))

    return {
        **{name: lambda _, x, f=f: f(x) for name, f in unary.items()},
        **{name: lambda _, a, b, f=f: f(a, b) for name, f in binary.items()},
        "Clip": clip,
        "Div": divide,
        "Gelu": gelu,
        "Cast": cast,
        "Pow": lambda _, x, y: tf.pow(x, tf.cast(y, x.dtype)),
        "Where": lambda _, chosen, a, b: tf.where(chosen, a, b),
        "LeakyRelu": lambda attributes, x: tf.nn.leaky_relu(x, attributes.get("alpha", 0.01)),
        "Softmax": lambda attributes, x: tf.nn.softmax(x, attributes.get("axis", -1)),
    }


def _shapes(tf: Any) -> dict[str, Operation]:
    """Of the same values in another shape, and of shapes themselves."""

    def reshape(_: Attributes, x: Any, shape: Any) -> Any:
        sizes = _fixed(tf, shape)
        if isinstance(sizes, np.ndarray) and (sizes == 0).any():  # 0: as it is
            sizes = [tf.shape(x)[i] if size == 0 else int(size) for i, size in enumerate(sizes)]
        return tf.reshape(x, sizes)

    def shape_of(attributes: Attributes, x: Any) -> Any:
        return tf.shape(x, out_type=tf.int64)[attributes.get("start", 0) : attributes.get("end")]

    def unsqueeze(attributes: Attributes, x: Any, axes: Any = None) -> Any:
        wanted = _axes(tf, attributes, axes)
        rank = len(x.shape) + len(wanted)
        for axis in sorted(axis % rank for axis in wanted):
            x = tf.expand_dims(x, axis)
        return x

    return {
        "Reshape": reshape,
        "Shape": shape_of,
        "Unsqueeze": unsqueeze,
        "Squeeze": lambda attributes, x, axes=None: tf.squeeze(x, _axes(tf, attributes, axes) or None),
        "Transpose": lambda attributes, x: tf.transpose(x, attributes.get("perm")),
        "Expand": lambda _, x, shape: tf.broadcast_to(
            x, tf.broadcast_dynamic_shape(tf.shape(x, out_type=tf.int64), tf.cast(shape, tf.int64))
        ),
        "Range": lambda _, start, limit, step: tf.range(start, limit, step),
        "ConstantOfShape": lambda attributes, shape: tf.fill(
            shape, _value(attributes) if "value" in attributes else np.float32(0)
        ),
        "Constant": lambda attributes: tf.constant(_value(attributes)),
    }


def _parts(tf: Any) -> dict[str, Operation]:
    """Of some of the values, or of more."""

    def cut(_: Attributes, x: Any, starts: Any, ends: Any, axes: Any = None, steps: Any = None) -> Any:
        def bound(place: Any) -> Any:
            far = isinstance(place, np.integer) and abs(int(place)) >= LARGEST
            return None if far else place  # TensorFlow refuses what lies beyond either end

        whole: list[Any] = [slice(None)] * len(x.shape)
        first, last = _fixed(tf, starts), _fixed(tf, ends)
        numbers = range(len(starts)) if axes is None else _fixed(tf, axes)
        for i, axis in enumerate(numbers):
            step = 1 if steps is None else _fixed(tf, steps)[i]
            whole[int(axis)] = slice(bound(first[i]), bound(last[i]), step)
        return x[tuple(whole)]

    def split(attributes: Attributes, x: Any, sizes: Any = None) -> Any:
        parts = attributes["num_outputs"] if sizes is None else [int(size) for size in _fixed(tf, sizes)]
        return tf.split(x, parts, axis=attributes.get("axis", 0))

    def scatter(attributes: Attributes, x: Any, indices: Any, updates: Any) -> Any:
        if attributes.get("reduction", b"none") != b"none":
            raise LuoxiaError(
                "the network scatters with a reduction, which format=tensorflow does not know yet"
            )
        return tf.tensor_scatter_nd_update(x, indices, updates)

    def pad(attributes: Attributes, x: Any, pads: Any, value: Any = None, axes: Any = None) -> Any:
        if attributes.get("mode", b"constant") != b"constant" or axes is not None:
            raise LuoxiaError("the network pads by copying, which format=tensorflow does not know yet")
        around = np.asarray(_fixed(tf, pads)).reshape(2, -1).T
        inner = x[tuple(slice(-min(0, a), -max(0, -b) or None) for a, b in around)]
        return tf.pad(inner, np.maximum(around, 0), constant_values=0.0 if value is None else value)

    return {
        "Slice": cut,
        "Split": split,
        "ScatterND": scatter,
        "Pad": pad,
        "Concat": lambda attributes, *parts: tf.concat(parts, attributes["axis"]),
        "Gather": lambda attributes, x, indices: tf.gather(x, indices, axis=attributes.get("axis", 0)),
    }


def _fixed(tf: Any, x: Any) -> Any:
    """A tensor's value where the graph says it, as NumPy's; else the tensor."""
    value = tf.get_static_value(x)
    return x if value is None else value


def _axes(tf: Any, attributes: Attributes, axes: Any) -> list[int]:
    return [int(axis) for axis in (attributes.get("axes", ()) if axes is None else _fixed(tf, axes))]


def _products(tf: Any) -> dict[str, Operation]:
    """Of sums: products of matrices, means, norms."""

    def reduce(function: Any) -> Operation:
        def reduced(attributes: Attributes, x: Any, axes: Any = None) -> Any:
            kept = bool(attributes.get("keepdims", 1))
            return function(x, _axes(tf, attributes, axes) or None, keepdims=kept)

        return reduced

    def gemm(attributes: Attributes, a: Any, b: Any, c: Any = None) -> Any:
        flips = {"transpose_a": bool(attributes.get("transA")), "transpose_b": bool(attributes.get("transB"))}
        product = attributes.get("alpha", 1.0) * tf.matmul(a, b, **flips)
        return product if c is None else product + attributes.get("beta", 1.0) * c

    def normalize(attributes: Attributes, x: Any, gain: Any, bias: Any, mean: Any, variance: Any) -> Any:
        scale = gain * tf.math.rsqrt(variance + attributes.get("epsilon", 1e-5))
        across = [1, -1] + [1] * (len(x.shape) - 2)
        return x * tf.reshape(scale, across) + tf.reshape(bias - mean * scale, across)

    def layer_norm(attributes: Attributes, x: Any, gain: Any, bias: Any = None) -> Any:
        axes = list(range(attributes.get("axis", -1) % len(x.shape), len(x.shape)))
        mean, variance = tf.nn.moments(x, axes, keepdims=True)
        y = (x - mean) * tf.math.rsqrt(variance + attributes.get("epsilon", 1e-5)) * gain
        return y if bias is None else y + bias

    def rms_norm(attributes: Attributes, x: Any, gain: Any) -> Any:
        axes = list(range(attributes.get("axis", -1) % len(x.shape), len(x.shape)))
        power = tf.reduce_mean(tf.square(x), axes, keepdims=True)
        return x * tf.math.rsqrt(power + attributes.get("epsilon", 1e-5)) * gain

    return {
        "Gemm": gemm,
        "MatMul": lambda _, a, b: tf.matmul(a, b),
        "ReduceMean": reduce(tf.reduce_mean),
        "ReduceSum": reduce(tf.reduce_sum),
        "BatchNormalization": normalize,
        "LayerNormalization": layer_norm,
        "RMSNormalization": rms_norm,
    }


def _convolutions(tf: Any) -> dict[str, Operation]:
    """TensorFlow's CPU kernels want channels last: each convolution is turned around and back."""

    def last(x: Any) -> Any:
        return tf.transpose(x, [0, 2, 3, 1])

    def first(x: Any) -> Any:
        return tf.transpose(x, [0, 3, 1, 2])

    def convolve(attributes: Attributes, x: Any, weight: Any, bias: Any = None) -> Any:
        _check(attributes)
        top, left, bottom, right = attributes.get("pads", (0, 0, 0, 0))
        strides, groups = list(attributes.get("strides", (1, 1))), attributes.get("group", 1)
        y = tf.pad(last(x), [[0, 0], [top, bottom], [left, right], [0, 0]])
        kernel = tf.transpose(weight, [2, 3, 1, 0])  # rows, columns, inputs, outputs
        if groups == 1:
            y = tf.nn.conv2d(y, kernel, strides, "VALID")
        elif groups == weight.shape[0] and strides[0] == strides[1]:  # a filter for each channel
            y = tf.nn.depthwise_conv2d(y, tf.transpose(weight, [2, 3, 0, 1]), [1, *strides, 1], "VALID")
        else:
            parts = zip(tf.split(y, groups, 3), tf.split(kernel, groups, 3), strict=True)
            y = tf.concat([tf.nn.conv2d(part, own, strides, "VALID") for part, own in parts], 3)
        return first(y if bias is None else y + bias)

    def transposed(attributes: Attributes, x: Any, weight: Any, bias: Any = None) -> Any:
        _check(attributes)
        if attributes.get("group", 1) != 1:
            raise LuoxiaError(
                "the network has transposed convolutions in groups, which format=tensorflow does not know"
            )
        strides, kernel = list(attributes.get("strides", (1, 1))), weight.shape[2:]
        more = attributes.get("output_padding", (0, 0))
        sizes = [(tf.shape(x)[2 + i] - 1) * strides[i] + int(kernel[i]) for i in range(2)]
        shape = tf.stack([tf.shape(x)[0], *sizes, int(weight.shape[1])])
        filters = tf.transpose(weight, [2, 3, 1, 0])  # rows, columns, outputs, inputs
        y = tf.nn.conv2d_transpose(last(x), filters, shape, strides, "VALID")
        y = tf.pad(y, [[0, 0], [0, more[0]], [0, more[1]], [0, 0]])
        top, left, bottom, right = attributes.get("pads", (0, 0, 0, 0))
        y = y[:, top : -bottom or None, left : -right or None]
        return first(y if bias is None else y + bias)

    return {"Conv": convolve, "ConvTranspose": transposed}


def _resizing(tf: Any) -> dict[str, Operation]:
    def shuffle(attributes: Attributes, x: Any) -> Any:
        side, crd = attributes["blocksize"], attributes.get("mode", b"DCR") == b"CRD"
        n, (c, h, w) = tf.shape(x)[0], x.shape[1:]
        inner = [c // side**2, side, side] if crd else [side, side, c // side**2]
        y = tf.reshape(x, [n, *inner, h, w])
        y = tf.transpose(y, [0, 1, 4, 2, 5, 3] if crd else [0, 3, 4, 1, 5, 2])
        return tf.reshape(y, [n, c // side**2, h * side, w * side])

    def enlarge(attributes: Attributes, x: Any, _: Any = None, scales: Any = None, sizes: Any = None) -> Any:
        factors: Any = None if scales is None else tf.get_static_value(scales)
        whole = factors is not None and (factors == np.round(factors)).all() and (factors[:2] == 1).all()
        if attributes.get("mode", b"nearest") != b"nearest" or not whole or sizes is not None:
            raise LuoxiaError(
                "the network resizes by interpolating, which format=tensorflow does not know yet"
            )
        return tf.repeat(tf.repeat(x, int(factors[2]), 2), int(factors[3]), 3)

    return {"DepthToSpace": shuffle, "Resize": enlarge}


def _check(attributes: Attributes) -> None:
    odd = any(step != 1 for step in attributes.get("dilations", ()))
    if odd or attributes.get("auto_pad", b"NOTSET") not in (b"NOTSET", b"VALID"):
        raise LuoxiaError("the network has dilated convolutions, which format=tensorflow does not know yet")


def _value(attributes: Attributes) -> Any:
    from onnx import numpy_helper

    array: Any = numpy_helper.to_array(attributes["value"])
    return array if array.ndim != 1 or len(array) != 1 else array[0]
