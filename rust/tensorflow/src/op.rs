//! What an op is: a declarative signature, a plan made of its attributes, and a computation.

use crate::ffi::{Attributes, Call};
use ferroconv_kernels::Error;

/// The names and types of an op, as TensorFlow's op registry spells them.
#[derive(Clone, Copy, Debug)]
pub struct Signature {
    /// The name.
    pub name: &'static str,
    /// The inputs, in order. Lists (`"bias: biases * T"`) come last.
    pub inputs: &'static [Input],
    /// The outputs, in order.
    pub outputs: &'static [Output],
    /// The attributes besides [`TYPES`]: `"strides: list(int) >= 2"`. Those with defaults come last.
    pub attributes: &'static [&'static str],
}

/// The attribute that every op has: the dtype of its arrays.
pub const TYPES: &str = "T: {half, bfloat16, float, double}";

/// An input.
#[derive(Clone, Copy, Debug)]
pub struct Input {
    /// Name and type: `"x: T"`.
    pub spec: &'static str,
    /// The number of axes that it must have; none for a list.
    pub rank: Option<i64>,
}

/// An output.
#[derive(Clone, Copy, Debug)]
pub struct Output {
    /// Name and type: `"y: T"`.
    pub spec: &'static str,
    /// What is known of its shape from the inputs' alone.
    pub shape: Shape,
}

/// What is known of an output's shape before anything is computed. (TensorFlow's C API shows a shape
/// function no attribute but types; the rest is settled in Python, by the same rule as here.)
#[derive(Clone, Copy, Debug)]
pub enum Shape {
    /// That of an input.
    Like(i32),
    /// As many pictures as an input has, four axes.
    Pictures(i32),
    /// One axis.
    Line,
}

/// An op: its signature, and a value that holds its attributes, checked.
pub trait Op: Sized + Send + Sync + 'static {
    /// Names and types.
    const SIGNATURE: Signature;

    /// Reads the attributes. Called once for each node of a graph.
    ///
    /// # Errors
    /// [`Failure`] for attributes that can't be meant.
    fn plan(attributes: &Attributes<'_>) -> Result<Self, Failure>;

    /// Computes the outputs from the inputs. Called by several threads at once.
    ///
    /// # Errors
    /// [`Failure`] for inputs that can't be meant.
    fn compute(&self, call: &mut Call<'_>) -> Result<(), Failure>;
}

/// TensorFlow's number of a kind of error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Code(pub(crate) i32);

impl Code {
    pub(crate) const OK: Self = Self(0);
    const CANCELLED: Self = Self(1);
    pub(crate) const INVALID_ARGUMENT: Self = Self(3);
    pub(crate) const NOT_FOUND: Self = Self(5);
    const UNIMPLEMENTED: Self = Self(12);
    pub(crate) const INTERNAL: Self = Self(13);
}

/// Why an op was refused, in TensorFlow's terms.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The kind.
    pub code: Code,
    /// The message: the rule, what was received, the mend.
    pub message: String,
}

impl Failure {
    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self { code: Code::INVALID_ARGUMENT, message: message.into() }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let code = match error {
            Error::Value(_) | Error::Type(_) => Code::INVALID_ARGUMENT,
            Error::Unsupported(_) => Code::UNIMPLEMENTED,
            Error::Interrupted => Code::CANCELLED,
        };
        Self { code, message: error.to_string() }
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}
