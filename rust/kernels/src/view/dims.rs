//! A number for each axis of an array, without a call of the allocator where the axes are few.

use std::ops::Deref;

/// Axes that are kept in place: a batch of pictures has four.
const FEW: usize = 4;

/// A number for each axis.
#[derive(Clone, Debug)]
pub struct Dims<T>(Kept<T>);

#[derive(Clone, Debug)]
enum Kept<T> {
    Few([T; FEW], usize),
    Many(Vec<T>),
}

impl<T: Copy + Default> From<&[T]> for Dims<T> {
    fn from(axes: &[T]) -> Self {
        let mut few = [T::default(); FEW];
        match few.get_mut(..axes.len()) {
            Some(place) => {
                place.copy_from_slice(axes);
                Self(Kept::Few(few, axes.len()))
            }
            None => Self(Kept::Many(axes.to_vec())),
        }
    }
}

impl<T: Copy + Default, const N: usize> From<[T; N]> for Dims<T> {
    fn from(axes: [T; N]) -> Self {
        axes[..].into()
    }
}

impl<T: Copy + Default> From<Vec<T>> for Dims<T> {
    fn from(axes: Vec<T>) -> Self {
        if axes.len() > FEW { Self(Kept::Many(axes)) } else { axes[..].into() }
    }
}

impl<T: Copy + Default> FromIterator<T> for Dims<T> {
    fn from_iter<I: IntoIterator<Item = T>>(axes: I) -> Self {
        let (mut axes, mut few, mut count) = (axes.into_iter(), [T::default(); FEW], 0);
        while let Some(axis) = axes.next() {
            if count == FEW {
                return Self(Kept::Many(few.into_iter().chain([axis]).chain(axes).collect()));
            }
            few[count] = axis;
            count += 1;
        }
        Self(Kept::Few(few, count))
    }
}

impl<T> Deref for Dims<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        match &self.0 {
            Kept::Few(few, count) => &few[..*count],
            Kept::Many(many) => many,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_keeps_the_axes() {
        for count in 0..8 {
            let axes: Vec<usize> = (1..=count).collect();
            assert_eq!(*Dims::from(&axes[..]), axes);
            assert_eq!(*Dims::from(axes.clone()), axes);
            assert_eq!(*axes.iter().copied().collect::<Dims<_>>(), axes);
        }
        assert_eq!(*Dims::from([7, 8, 9]), [7, 8, 9]);
    }
}
