"""The definitions of the layers in TensorFlow's elementary ops, which differentiate themselves; any dtype, any layout."""

from __future__ import annotations

import math

import tensorflow as tf


def same(n, taps, stride, dilation):
    """TensorFlow's padding of one axis."""
    total = max((-(-n // stride) - 1) * stride + (taps - 1) * dilation + 1 - n, 0)
    return total // 2, total - total // 2


def widths(padding, image, taps, strides, dilation):
    """Rows and columns of padding, before and after."""
    if padding == "valid":
        return (0, 0), (0, 0)
    if padding == "same":
        return tuple(same(*each) for each in zip(image, taps, strides, dilation, strict=True))
    return tuple(tuple(pair) for pair in padding)


def swap(x, data_format):
    """Channels to the end and back."""
    return x if data_format == "channels_last" else tf.transpose(x, (0, 2, 3, 1))


def back(x, data_format):
    """The way back."""
    return x if data_format == "channels_last" else tf.transpose(x, (0, 3, 1, 2))


def windows(x, taps, strides, dilation, pads, value, ceil=False, after=None):
    """A list, tap by tap, of the samples that every window has there."""
    x = tf.pad(x, [(0, 0), *pads, (0, 0)], constant_values=tf.cast(value, x.dtype))
    spans = [(k - 1) * d + 1 for k, d in zip(taps, dilation, strict=True)]
    sizes = [(n - span) // s + 1 for n, span, s in zip(x.shape[1:3], spans, strides, strict=True)]
    if ceil:
        sizes = [math.ceil((n - span) / s) + 1 for n, span, s in zip(x.shape[1:3], spans, strides, strict=True)]
        after = after or [pad[1] for pad in pads]  # a window that begins there holds nothing
        limits = [n - width for n, width in zip(x.shape[1:3], after, strict=True)]
        sizes = [m - 1 if (m - 1) * s >= limit else m for m, s, limit in zip(sizes, strides, limits, strict=True)]
        hang = [
            max((m - 1) * s + span - n, 0) for m, s, span, n in zip(sizes, strides, spans, x.shape[1:3], strict=True)
        ]
        x = tf.pad(x, [(0, 0), (0, hang[0]), (0, hang[1]), (0, 0)], constant_values=tf.cast(value, x.dtype))
    for i in range(taps[0]):
        for j in range(taps[1]):
            (top, left), (rows, cols) = (i * dilation[0], j * dilation[1]), sizes
            yield (i, j), x[
                :, top : top + (rows - 1) * strides[0] + 1 : strides[0],
                left : left + (cols - 1) * strides[1] + 1 : strides[1],
            ]  # fmt: skip


def conv2d(x, w, bias=None, *, strides, padding, dilation, groups=1, data_format="channels_last", relu=False):
    """A convolution layer."""
    x = swap(x, data_format)
    taps = w.shape[:2]
    pads = widths(padding, x.shape[1:3], taps, strides, dilation)
    deep, wide = w.shape[2], w.shape[3] // groups
    y = 0
    for (i, j), part in windows(x, taps, strides, dilation, pads, 0):
        y += tf.concat(
            [
                tf.einsum("nhwc,co->nhwo", part[..., g * deep : (g + 1) * deep], w[i, j, :, g * wide : (g + 1) * wide])
                for g in range(groups)
            ],
            -1,
        )
    y = y if bias is None else y + bias
    return back(tf.nn.relu(y) if relu else y, data_format)


def max_pool2d(x, taps, *, strides, padding, dilation, ceil=False, data_format="channels_last"):
    """Max pooling."""
    x = swap(x, data_format)
    pads = widths(padding, x.shape[1:3], taps, strides, dilation)
    return back(
        tf.reduce_max([s for _, s in windows(x, taps, strides, dilation, pads, -math.inf, ceil)], 0), data_format
    )


def avg_pool2d(x, taps, *, strides, padding, dilation, ceil=False, count=False, data_format="channels_last"):
    """Average pooling."""
    x = swap(x, data_format)
    pads = widths(padding, x.shape[1:3], taps, strides, dilation)
    total = sum(s for _, s in windows(x, taps, strides, dilation, pads, 0, ceil))
    ones, after = tf.ones_like(x), [pad[1] for pad in pads]
    if count:
        ones, pads = tf.pad(ones, [(0, 0), *pads, (0, 0)], constant_values=1), ((0, 0), (0, 0))
    number = sum(s for _, s in windows(ones, taps, strides, dilation, pads, 0, ceil, after))
    return back(total / number, data_format)
