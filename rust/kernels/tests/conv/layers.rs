//! The layers that are tried.

use ferroconv_kernels::dtype::DType;
use ferroconv_kernels::ops::conv::Conv;
use ferroconv_kernels::shape::{Axis, Padding};

/// Layers by what is special about them. Channels lie around whole vectors of each instruction set.
pub(crate) fn layers() -> Vec<(String, Conv)> {
    let mut layers = Vec::new();
    let axis = |src, taps, stride, dilation, padding| {
        Axis::convolution(src, taps, stride, dilation, padding).unwrap()
    };
    let mut add = |name: String, rows: Axis, cols: Axis, groups, inputs, outputs| {
        layers.push((name, Conv::new(DType::F64, 2, [rows, cols], groups, inputs, outputs).unwrap()));
    };
    for channels in [1, 2, 3, 4, 7, 8, 9, 15, 16, 17, 24, 25, 33, 40, 49] {
        let square = axis(5, 3, 1, 1, Padding::Same);
        add(format!("{channels} results"), square, square, 1, 3, channels);
        add(format!("{channels} channels"), square, square, 1, channels, 5);
    }
    for width in 1..20 {
        let (rows, cols) = (axis(3, 2, 1, 1, Padding::Valid), axis(width + 1, 2, 1, 1, Padding::Valid));
        add(format!("{width} columns"), rows, cols, 1, 2, 6);
    }
    let strides = [(1, 1), (2, 1), (3, 2), (2, 3), (5, 1)];
    for (stride, dilation) in strides {
        for padding in [Padding::Valid, Padding::Same, Padding::Explicit(4, 1), Padding::Explicit(0, 7)] {
            let (rows, cols) = (axis(9, 3, stride, dilation, padding), axis(11, 2, 1, 1, Padding::Same));
            add(format!("rows by {stride}, dilation {dilation}, {padding:?}"), rows, cols, 1, 2, 9);
            let (rows, cols) =
                (axis(4, 1, 1, 1, Padding::Valid), axis(10, 4, stride, dilation.min(2), padding));
            add(format!("columns by {stride}, dilation {dilation}, {padding:?}"), rows, cols, 2, 4, 6);
        }
    }
    for size in [1, 2, 4, 6, 7, 9, 13] {
        for padding in [Padding::Same, Padding::Explicit(2, 2), Padding::Explicit(3, 1)] {
            let (rows, cols) = (axis(size, 3, 1, 1, padding), axis(9, 3, 1, 1, Padding::Same));
            add(format!("{size} rows, {padding:?}"), rows, cols, 1, 18, 20);
            add(format!("{size} columns, {padding:?}, groups"), cols, rows, 2, 18, 34);
        }
    }
    let square = axis(5, 3, 1, 1, Padding::Same);
    add("no channels".into(), square, square, 1, 0, 3);
    add("no channels, groups".into(), square, square, 2, 0, 4);
    for size in [2, 3, 7] {
        let (rows, cols) = (axis(size, 3, 1, 1, Padding::Same), axis(3, 3, 1, 1, Padding::Explicit(1, 2)));
        add(format!("{size} rows, few tiles for so many filters"), rows, cols, 1, 70, 130);
    }
    // Pointwise layers: pixels, channels and results around vectors and tiles.
    for (height, width) in [(1, 1), (1, 7), (2, 4), (3, 3), (1, 16), (5, 5), (4, 8), (5, 13), (7, 7)] {
        let (rows, cols) = (axis(height, 1, 1, 1, Padding::Valid), axis(width, 1, 1, 1, Padding::Valid));
        add(format!("pointwise, {height}x{width}"), rows, cols, 1, 9, 10);
        add(format!("pointwise, {height}x{width}, groups"), rows, cols, 3, 15, 21);
    }
    for channels in [1, 2, 7, 8, 16, 17, 23, 24, 25, 49] {
        let square = axis(5, 1, 1, 1, Padding::Valid);
        add(format!("pointwise, {channels} results"), square, square, 1, 3, channels);
        add(format!("pointwise, {channels} channels"), square, square, 1, channels, 5);
    }
    for (width, results) in [(7, 192), (8, 193), (17, 216)] {
        let (rows, cols) = (axis(3, 1, 1, 1, Padding::Valid), axis(width, 1, 1, 1, Padding::Valid));
        add(format!("pointwise, 3x{width} to {results}"), rows, cols, 1, 5, results);
        add(format!("pointwise, 3x{width} from {results} in groups"), rows, cols, 2, 2 * results, 6);
    }
    let few = axis(3, 1, 1, 1, Padding::Valid);
    add("pointwise, a page of channels".into(), few, few, 1, 1024, 3);
    add("pointwise, a page of results".into(), few, few, 1, 3, 1024);
    let long = axis(40, 1, 1, 1, Padding::Valid);
    add("pointwise, several blocks".into(), long, long, 1, 70, 30);
    for (stride, padding) in [
        (2, Padding::Valid),
        (3, Padding::Valid),
        (2, Padding::Explicit(1, 1)),
        (1, Padding::Explicit(0, 2)),
        (2, Padding::Explicit(0, 3)),
    ] {
        for size in [8, 9] {
            let (rows, cols) = (axis(size, 1, stride, 1, padding), axis(size + 2, 1, 1, 1, Padding::Valid));
            add(format!("pointwise, {size} rows by {stride}, {padding:?}"), rows, cols, 1, 9, 17);
            add(format!("pointwise, {size} columns by {stride}, {padding:?}"), cols, rows, 2, 18, 8);
            add(format!("pointwise, {size} by {stride} both ways, {padding:?}"), rows, rows, 1, 10, 9);
            add(
                format!("pointwise, {size} by {stride} both ways, {padding:?}, many"),
                rows,
                rows,
                1,
                200,
                200,
            );
        }
    }
    // Few filters of few channels, whose rows of pixels end around vectors.
    for (width, inputs, outputs) in [(12, 1, 6), (17, 3, 11), (24, 4, 12), (31, 2, 1), (47, 1, 5)] {
        let (rows, cols) = (axis(8, 3, 2, 1, Padding::Same), axis(width, 4, 1, 2, Padding::Explicit(4, 3)));
        add(
            format!("{outputs} filters of {inputs} channels, {width} columns"),
            rows,
            cols,
            1,
            inputs,
            outputs,
        );
    }
    let window = axis(6, 3, 1, 1, Padding::Same);
    for channels in [1, 2, 3, 7, 8, 9, 15, 16, 17, 33, 65, 130, 512] {
        add(format!("depthwise, {channels} channels"), window, window, channels, channels, channels);
    }
    for width in 1..18 {
        let (rows, cols) = (axis(5, 2, 1, 2, Padding::Same), axis(width, 3, 1, 1, Padding::Explicit(2, 0)));
        add(format!("depthwise, {width} columns"), rows, cols, 18, 18, 18);
    }
    for (stride, dilation) in strides {
        for padding in [Padding::Valid, Padding::Same, Padding::Explicit(4, 1), Padding::Explicit(0, 7)] {
            let (rows, cols) = (axis(9, 3, stride, dilation, padding), axis(16, 5, 1, 2, Padding::Same));
            add(
                format!("depthwise, rows by {stride}, dilation {dilation}, {padding:?}"),
                rows,
                cols,
                9,
                9,
                9,
            );
            add(
                format!("depthwise, columns by {stride}, dilation {dilation}, {padding:?}"),
                cols,
                rows,
                9,
                9,
                9,
            );
        }
    }
    let (rows, cols) = (axis(40, 3, 1, 1, Padding::Same), axis(70, 7, 2, 1, Padding::Same));
    add("depthwise, several blocks".into(), rows, cols, 150, 150, 150);
    // Phases of the transpose whose rows don't ascend.
    for (size, taps, stride, dilation) in [(8, 2, 2, 3), (9, 3, 3, 2), (17, 4, 3, 4), (20, 3, 5, 3)] {
        let (rows, cols) =
            (axis(size, taps, stride, dilation, Padding::Same), axis(9, 3, 2, 3, Padding::Same));
        add(format!("depthwise, {taps} taps by {stride}, dilation {dilation}"), rows, cols, 10, 10, 10);
    }
    let (rows, cols) = (axis(9, 7, 1, 1, Padding::Same), axis(9, 7, 1, 1, Padding::Same));
    add("depthwise, many channels under a wide window".into(), rows, cols, 400, 400, 400);
    let (rows, cols) = (axis(5, 3, 1, 1 << 20, Padding::Same), axis(9, 3, 2, 7, Padding::Explicit(9, 13)));
    add("taps far outside".into(), rows, cols, 1, 6, 9);
    add("taps far outside, depthwise".into(), rows, cols, 10, 10, 10);
    // Phases of the transpose without taps along one axis alone.
    let (rows, cols) = (axis(300, 3, 1, 1, Padding::Same), axis(3, 1, 5, 1, Padding::Explicit(1, 0)));
    add("columns without taps".into(), rows, cols, 1, 1, 8);
    let (rows, cols) = (axis(8, 1, 2, 1, Padding::Valid), axis(200, 3, 1, 50, Padding::Same));
    add("rows without taps".into(), rows, cols, 1, 1, 1);
    add("depthwise with a multiplier".into(), window, window, 8, 8, 24);
    add("depthwise by 2".into(), axis(7, 3, 2, 1, Padding::Same), window, 17, 17, 17);
    add(
        "the whole image".into(),
        axis(6, 6, 1, 1, Padding::Valid),
        axis(5, 5, 1, 1, Padding::Valid),
        1,
        4,
        3,
    );
    add(
        "several blocks".into(),
        axis(40, 3, 1, 1, Padding::Same),
        axis(130, 3, 1, 1, Padding::Same),
        1,
        12,
        20,
    );
    // Many pictures, around whole vectors of them, as the lanes of few results: parts of pictures and whole ones.
    for (pictures, size, taps, stride, dilation, padding, channels, outputs) in [
        (16, [5, 4], [3, 3], 1, 1, Padding::Same, 1, 1),
        (31, [9, 7], [3, 2], 2, 1, Padding::Explicit(2, 0), 3, 7),
        (32, [9, 10], [5, 5], 1, 1, Padding::Valid, 6, 16),
        (47, [6, 7], [5, 3], 1, 1, Padding::Explicit(4, 3), 2, 20),
        (48, [7, 8], [2, 3], 1, 2, Padding::Same, 2, 5),
        (64, [8, 8], [4, 4], 3, 1, Padding::Same, 3, 24),
        (16, [50, 47], [3, 3], 1, 1, Padding::Same, 3, 4),
        (32, [2, 3], [3, 3], 1, 1, Padding::Explicit(1, 9), 4, 5),
        (16, [3, 2], [2, 3], 4, 1, Padding::Explicit(9, 8), 2, 3),
        (16, [4, 4], [3, 3], 300, 1, Padding::Explicit(300, 299), 1, 2),
    ] {
        let [rows, cols] = [0, 1].map(|i| axis(size[i], taps[i], stride, dilation, padding));
        let name = format!("{pictures} pictures of {size:?}, {taps:?} taps by {stride}, {outputs} results");
        layers.push((name, Conv::new(DType::F64, pictures, [rows, cols], 1, channels, outputs).unwrap()));
    }
    // A transpose whose result has no rows.
    let rows = Axis::transposed(1, 4, 1, 1, Padding::Same, Some(0)).unwrap();
    assert_eq!(rows.src, 0);
    let cols = axis(8, 3, 1, 1, Padding::Same);
    layers.push(("no rows".into(), Conv::new(DType::F64, 16, [rows, cols], 1, 3, 5).unwrap()));
    layers
}
