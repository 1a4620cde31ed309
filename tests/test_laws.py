"""Each law of the house really fails on a breach."""

import importlib.util
from pathlib import Path

import pytest

SPEC = importlib.util.spec_from_file_location("laws", Path(__file__).parents[1] / "tools" / "laws.py")
laws = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(laws)

BREACHES = {
    "intrinsics outside simd": ("rust/kernels/src/ops/x.rs", "use std::arch::x86_64::*;", "intrinsics"),
    "threads outside parallel": ("rust/kernels/src/view.rs", "std::thread::spawn(|| ());", "threads are started"),
    "unsafe in an operation": ("rust/kernels/src/ops/x.rs", "unsafe { f() }", "unsafe"),
    "unsafe in the binding": ("rust/python/src/filters.rs", "unsafe impl Send for X {}", "unsafe"),
    "unsafe in a TensorFlow op": ("rust/tensorflow/src/pooling.rs", "unsafe { f() }", "unsafe"),
    "a reference that shares": ("rust/kernels/src/reference.rs", "use crate::border::Border;", "reference"),
    "Python in the kernels": ("rust/kernels/src/lib.rs", "use pyo3::prelude::*;", "no Python"),
    "Python in a TensorFlow op": ("rust/tensorflow/src/pooling.rs", "use pyo3::prelude::*;", "no Python"),
    "another library looked into": ("rust/python/src/runtime.rs", "use libloading::Library;", "ffi/ only"),
    "an unfinished line": ("rust/kernels/src/lib.rs", "let x = 1; /**/ fn TODO() {}", "issue"),
    "a framework imported": ("python/ferroconv/signal.py", "import scipy.signal", "framework"),
    "a long file": ("python/ferroconv/long.py", "x = 1\n" * 601, "600 lines"),
}


@pytest.mark.parametrize("name", BREACHES)
def test_a_planted_breach_is_found(name, tmp_path):
    path, text, message = BREACHES[name]
    file = tmp_path / path
    file.parent.mkdir(parents=True)
    file.write_text(text)
    found = list(laws.breaches(tmp_path))
    assert len(found) == 1
    assert message in found[0]


def test_a_lawful_tree_has_no_breach(tmp_path):
    file = tmp_path / "rust/kernels/src/simd/x86.rs"
    file.parent.mkdir(parents=True)
    file.write_text("use std::arch::x86_64::*; // SAFETY\nunsafe { f() }\n")
    assert list(laws.breaches(tmp_path)) == []
