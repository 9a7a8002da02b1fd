//! What most nodes never fill, eight bytes until they do: one World may hold a million of them.

use std::ops::{Deref, DerefMut};

/// Read, it is empty until it was written to; to write to it makes it.
#[derive(Default)]
pub(crate) struct Seldom<T>(Option<Box<T>>);

/// Which value stands for one that nobody wrote to.
pub(crate) trait Empty: Default + 'static {
    const EMPTY: &'static Self;
}

impl<T> Seldom<T> {
    /// One that nobody wrote to.
    pub(crate) const UNTOUCHED: Self = Seldom(None);

    /// Whether it was never written to.
    pub(crate) fn is_untouched(&self) -> bool {
        self.0.is_none()
    }
}

impl<T: Empty> Deref for Seldom<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.0.as_deref().unwrap_or(T::EMPTY)
    }
}

impl<T: Empty> DerefMut for Seldom<T> {
    fn deref_mut(&mut self) -> &mut T {
        self.0.get_or_insert_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Empty for Vec<u8> {
        const EMPTY: &'static Vec<u8> = &Vec::new();
    }

    #[test]
    fn reading_makes_nothing_and_writing_does() {
        let mut bytes: Seldom<Vec<u8>> = Seldom::default();
        assert!(bytes.is_empty() && bytes.is_untouched());
        bytes.push(7);
        assert_eq!((bytes.len(), bytes.is_untouched()), (1, false));
        assert_eq!(size_of_val(&bytes), 8);
    }
}
