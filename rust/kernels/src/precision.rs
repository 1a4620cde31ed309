//! Classes of precision: how much less exact than its dtype a result may be.
//!
//! A class is a permission. Where nothing quicker is less exact, all of them give the same result.

use crate::Error;

/// A class of precision, with the name that `torch` gives it. The least exact is the least.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Precision {
    /// Errors of about 4e-3 of the terms.
    Medium,
    /// Errors of about 5e-6 of the terms.
    High,
    /// Those of sums in the arrays' own dtype.
    #[default]
    Highest,
}

impl Precision {
    /// Every class, the most exact first.
    pub const ALL: [Self; 3] = [Self::Highest, Self::High, Self::Medium];

    /// The name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Highest => "highest",
            Self::High => "high",
            Self::Medium => "medium",
        }
    }

    /// Reads a name.
    ///
    /// # Errors
    /// [`Error::Value`] for a name that is no class.
    pub fn parse(name: &str) -> Result<Self, Error> {
        Self::ALL.into_iter().find(|class| class.name() == name).ok_or_else(|| {
            let known = Self::ALL.map(|class| format!("'{}'", class.name())).join(", ");
            Error::Value(format!("precision must be one of {known}. Received: '{name}'."))
        })
    }
}
