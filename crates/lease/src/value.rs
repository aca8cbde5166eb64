//! A value of any type. The second file of this crate with unsafe code: one cast.
#![allow(unsafe_code)]

use std::any::{Any, TypeId};
use std::fmt;

/// A value of any type, which is found again by its type.
///
/// As `Box<dyn Any>`, but `downcast_ref` compares a type that is stored beside the value. `dyn Any` asks by a virtual call
/// that returns 16 bytes by way of the stack; at some stack addresses reading them costs three times a lease.
pub struct AnyValue {
    type_id: TypeId,
    /// Never replaced, since `type_id` is of this one.
    value: Box<dyn Any + Send + Sync>,
}

impl AnyValue {
    /// Boxes a value.
    #[must_use]
    pub fn new<T: Send + Sync + 'static>(value: T) -> Self {
        Self { type_id: TypeId::of::<T>(), value: Box::new(value) }
    }

    /// The value, if it is a `T`.
    #[must_use]
    #[inline]
    pub fn downcast_ref<T: 'static>(&self) -> Option<&T> {
        (self.type_id == TypeId::of::<T>()).then(|| {
            let value = &raw const *self.value;
            // SAFETY: the value is a `T`: its type was stored when it was boxed, and it was not replaced.
            unsafe { &*value.cast::<T>() }
        })
    }
}

impl fmt::Debug for AnyValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("AnyValue").field(&self.type_id).finish()
    }
}

#[cfg(all(test, not(majordomo_loom)))]
mod tests {
    use super::*;

    #[test]
    fn value_is_found_by_its_own_type_alone() {
        let value = AnyValue::new(String::from("a model"));
        assert_eq!(value.downcast_ref::<String>().map(String::as_str), Some("a model"));
        assert!(value.downcast_ref::<&str>().is_none());
        assert_eq!(AnyValue::new(()).downcast_ref(), Some(&()));
    }
}
