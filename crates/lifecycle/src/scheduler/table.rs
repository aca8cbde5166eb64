//! The transactions in order of their numbers: a sorted vector, since every input walks all of them.
//!
//! Invariant: numbers ascend; new ones are larger than all before.

use std::ops::Index;

use crate::{Transaction, TxnId};

#[derive(Debug, Default)]
pub(crate) struct TxnTable(Vec<Transaction>);

impl TxnTable {
    fn at(&self, id: TxnId) -> Option<usize> {
        self.0.binary_search_by_key(&id, |t| t.id).ok()
    }

    pub(crate) fn values(&self) -> std::slice::Iter<'_, Transaction> {
        self.0.iter()
    }

    pub(crate) fn values_mut(&mut self) -> std::slice::IterMut<'_, Transaction> {
        self.0.iter_mut()
    }

    pub(crate) fn get(&self, id: TxnId) -> Option<&Transaction> {
        self.at(id).map(|i| &self.0[i])
    }

    pub(crate) fn get_mut(&mut self, id: TxnId) -> Option<&mut Transaction> {
        self.at(id).map(|i| &mut self.0[i])
    }

    pub(crate) fn push(&mut self, txn: Transaction) {
        debug_assert!(self.0.last().is_none_or(|t| t.id < txn.id));
        self.0.push(txn);
    }

    pub(crate) fn remove(&mut self, id: TxnId) {
        if let Some(i) = self.at(id) {
            self.0.remove(i);
        }
    }
}

impl Index<TxnId> for TxnTable {
    type Output = Transaction;

    fn index(&self, id: TxnId) -> &Transaction {
        self.get(id).expect("the caller has just found it")
    }
}
