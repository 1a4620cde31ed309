//! Border modes: what an image holds outside its edges.
//!
//! This file is the whole vocabulary. A mode is a variant, an arm of [`Border::index`] and a row of
//! [`Border::spec`]; the Python docs, the error texts, the conformance tests and the parsers follow
//! from [`Border::ALL`].

use crate::Error;

/// How an axis of an image continues past its ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Border {
    /// A constant value, `cval`.
    Constant,
    /// The edge sample, repeated.
    Nearest,
    /// Reflection about the edge of the last sample (half-sample symmetric).
    Reflect,
    /// Reflection about the centre of the last sample (whole-sample symmetric).
    Mirror,
    /// Periodic continuation.
    Wrap,
}

/// Whose names for the border modes are being spoken: `reflect` means two different things in SciPy
/// and in NumPy, so a name is never read without knowing this.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Api {
    /// ferroconv's five canonical names.
    Native,
    /// `scipy.ndimage`'s `mode=`.
    Ndimage,
    /// `scipy.signal`'s `boundary=`.
    Signal,
}

/// One row of the spelling table.
#[derive(Debug)]
pub struct Spec {
    /// The canonical name, used by the native functions.
    pub name: &'static str,
    /// The continuation of `a b c d`, drawn.
    pub picture: &'static str,
    /// Every name that `scipy.ndimage` gives it, the usual one first.
    pub ndimage: &'static [&'static str],
    /// Every name that `scipy.signal` gives it, the usual one first.
    pub signal: &'static [&'static str],
    /// The `mode` of `numpy.pad` that extends an array in this way.
    pub numpy_pad: &'static str,
}

impl Border {
    /// Every mode.
    pub const ALL: [Self; 5] = [Self::Constant, Self::Nearest, Self::Reflect, Self::Mirror, Self::Wrap];

    /// The mode's row of the spelling table.
    pub const fn spec(self) -> &'static Spec {
        match self {
            Self::Constant => &Spec {
                name: "constant",
                picture: "k k k k | a b c d | k k k k",
                ndimage: &["constant", "grid-constant"],
                signal: &["fill", "pad"],
                numpy_pad: "constant",
            },
            Self::Nearest => &Spec {
                name: "nearest",
                picture: "a a a a | a b c d | d d d d",
                ndimage: &["nearest"],
                signal: &[],
                numpy_pad: "edge",
            },
            Self::Reflect => &Spec {
                name: "reflect",
                picture: "d c b a | a b c d | d c b a",
                ndimage: &["reflect", "grid-mirror"],
                signal: &["symm", "symmetric"],
                numpy_pad: "symmetric",
            },
            Self::Mirror => &Spec {
                name: "mirror",
                picture: "  d c b | a b c d | c b a  ",
                ndimage: &["mirror"],
                signal: &[],
                numpy_pad: "reflect",
            },
            Self::Wrap => &Spec {
                name: "wrap",
                picture: "a b c d | a b c d | a b c d",
                ndimage: &["wrap", "grid-wrap"],
                signal: &["wrap", "circular"],
                numpy_pad: "wrap",
            },
        }
    }

    /// The canonical name.
    pub const fn name(self) -> &'static str {
        self.spec().name
    }

    /// The names by which `api` knows this mode, the usual one first.
    pub fn spellings(self, api: Api) -> &'static [&'static str] {
        let spec = self.spec();
        match api {
            Api::Native => std::slice::from_ref(&spec.name),
            Api::Ndimage => spec.ndimage,
            Api::Signal => spec.signal,
        }
    }

    /// Reads a name as `api` means it.
    ///
    /// # Errors
    /// [`Error::Value`] for an unknown name; the message lists the known ones.
    pub fn parse(api: Api, name: &str) -> Result<Self, Error> {
        Self::ALL.into_iter().find(|b| b.spellings(api).contains(&name)).ok_or_else(|| {
            let known: Vec<_> = Self::ALL.iter().flat_map(|b| b.spellings(api)).collect();
            Error::Value(format!("the border mode must be one of {known:?}. Received: {name:?}."))
        })
    }

    /// Maps position `i` of an axis of `n` samples to the sample that stands there, or to `None`
    /// where that is the constant. The map has the mode's full period, so a window may exceed the
    /// image many times over.
    ///
    /// An axis of no samples has no sample to repeat: every position of it is the constant.
    pub const fn index(self, i: isize, n: usize) -> Option<usize> {
        let m = n as isize;
        if 0 <= i && i < m {
            return Some(i as usize);
        }
        if m == 0 {
            return None;
        }
        let mapped = match self {
            Self::Constant => return None,
            Self::Nearest => {
                if i < 0 {
                    0
                } else {
                    m - 1
                }
            }
            Self::Wrap => i.rem_euclid(m),
            Self::Reflect => {
                let j = i.rem_euclid(2 * m);
                if j < m { j } else { 2 * m - 1 - j }
            }
            Self::Mirror if m == 1 => 0,
            Self::Mirror => {
                let j = i.rem_euclid(2 * m - 2);
                if j < m { j } else { 2 * m - 2 - j }
            }
        };
        Some(mapped as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Draws the continuation of `a b c d` and compares it with the picture in the table.
    #[test]
    fn index_draws_the_picture() {
        for border in Border::ALL {
            let drawn: Vec<String> = (-4..8)
                .map(|i| match border.index(i, 4) {
                    None => "k".into(),
                    Some(j) => char::from(b'a' + j as u8).to_string(),
                })
                .collect();
            let picture = border.spec().picture;
            let cells: Vec<&str> = picture.split([' ', '|']).filter(|c| !c.is_empty()).collect();
            // A shorter picture (mirror) leaves out the outermost samples.
            let cut = (drawn.len() - cells.len()) / 2;
            assert_eq!(drawn[cut..drawn.len() - cut], cells, "{}", border.name());
        }
    }

    #[test]
    fn index_stays_inside_however_far_the_window_reaches() {
        for border in Border::ALL {
            for n in 0..5_usize {
                for i in -40..40 {
                    assert!(border.index(i, n).is_none_or(|j| j < n), "{border:?} {i} {n}");
                }
            }
        }
    }

    #[test]
    fn every_spelling_parses_to_its_own_mode() {
        for api in [Api::Native, Api::Ndimage, Api::Signal] {
            for border in Border::ALL {
                for name in border.spellings(api) {
                    assert_eq!(Border::parse(api, name), Ok(border));
                }
            }
        }
        let message = Border::parse(Api::Signal, "reflect").unwrap_err().to_string();
        assert!(message.contains("\"symm\"") && message.contains("\"reflect\""), "{message}");
    }
}
