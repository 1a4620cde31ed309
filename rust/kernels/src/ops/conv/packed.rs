//! Packed filters that stay from one call to the next.

use super::Conv;
use super::pass::Pass;
use crate::Error;
use crate::isa::Isa;
use crate::kept::Recent;
use std::any::{Any, TypeId};
use std::fmt;
use std::sync::Arc;

/// Filters as implementations packed them, for a caller that gives the very same filters again.
///
/// One array of filters has one of these. That the next call's filters are the last one's, to the bit, is the
/// caller's to know: nothing here looks at them.
pub struct Packed(Recent<Layout, dyn Any + Send + Sync>);

/// What the order of packed filters depends on.
#[derive(PartialEq, Eq)]
struct Layout {
    /// The implementation's own type.
    order: TypeId,
    isa: Isa,
    conv: Conv,
    transposed: bool,
}

impl Packed {
    /// A full batch and the last one may be run by different implementations, or differ in their pictures' size.
    const MOST: usize = 2;

    /// What `pack` makes for a pass, or made before.
    ///
    /// # Errors
    /// Those of `pack`.
    pub(super) fn get<T: Any + Send + Sync>(
        kept: Option<&Self>,
        pass: &Pass<'_>,
        isa: Isa,
        pack: impl FnOnce() -> Result<T, Error>,
    ) -> Result<Arc<T>, Error> {
        let Some(Self(kept)) = kept else { return pack().map(Arc::new) };
        let layout = Layout {
            order: TypeId::of::<T>(),
            isa,
            conv: Conv { pictures: 0, ..pass.conv.clone() },
            transposed: pass.transposed,
        };
        if let Some(Ok(found)) = kept.find(|other| *other == layout).map(Arc::downcast) {
            return Ok(found);
        }
        let made = Arc::new(pack()?);
        let shared: Arc<dyn Any + Send + Sync> = Arc::<T>::clone(&made);
        kept.keep(layout, &shared);
        Ok(made)
    }
}

impl Default for Packed {
    fn default() -> Self {
        Self(Recent::new(Self::MOST))
    }
}

impl fmt::Debug for Packed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Packed")
    }
}
