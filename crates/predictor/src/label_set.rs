//! The labels of one outcome. Nearly every outcome has one label, which takes no allocation: thousands are kept.

use std::ops::Deref;

/// Sorted labels, each once; empty when no component was used.
#[derive(Clone, Debug)]
pub(crate) enum LabelSet {
    One(u32),
    /// None, or several.
    Other(Box<[u32]>),
}

impl From<Vec<u32>> for LabelSet {
    fn from(labels: Vec<u32>) -> Self {
        match labels[..] {
            [label] => Self::One(label),
            _ => Self::Other(labels.into()),
        }
    }
}

impl Deref for LabelSet {
    type Target = [u32];

    fn deref(&self) -> &[u32] {
        match self {
            Self::One(label) => std::slice::from_ref(label),
            Self::Other(labels) => labels,
        }
    }
}

impl PartialEq for LabelSet {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl LabelSet {
    /// Heap memory.
    pub(crate) fn memory_bytes(&self) -> usize {
        match self {
            Self::One(_) => 0,
            Self::Other(labels) => size_of_val(&**labels),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn set_has_the_labels_that_it_was_made_of() {
        for labels in [vec![], vec![7], vec![0, 7]] {
            let set = LabelSet::from(labels.clone());
            assert_eq!(*set, *labels);
            assert_eq!(set == LabelSet::from(vec![7]), labels == [7]);
        }
        assert_eq!(size_of::<LabelSet>(), 16);
    }
}
