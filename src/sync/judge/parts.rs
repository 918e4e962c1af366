//! Splits a batch into parts and retries them until each user that the database rejects is isolated: one bad row never
//! prevents the others from being written.

use std::ops::Range;

use super::write::WriteMode;
use crate::store::Fault;
use crate::sync::base::MayConflict;

/// A batch in which a user makes the database wait too long is split into this many parts: each may wait as long again.
const PARTS: usize = 8;

/// How a part is attempted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::sync) enum WriteAttempt {
    Write(WriteMode),
    /// The part's only user cannot be written, for this reason.
    GiveUp(Fault),
}

/// The parts of a batch that remain to be attempted.
#[derive(Debug)]
pub(in crate::sync) struct Parts(Vec<(Range<usize>, WriteAttempt)>);

impl Parts {
    /// A batch of this size.
    pub fn of(size: usize) -> Self {
        Self(vec![(0..size, WriteAttempt::Write(WriteMode::Together))])
    }

    /// The next part, in order.
    pub fn next(&mut self) -> Option<(Range<usize>, WriteAttempt)> {
        self.0.pop()
    }

    /// Takes the result of an attempt. None if the part is to be attempted again in another way.
    ///
    /// # Errors
    /// A failure that is not the fault of a single row.
    pub fn settle<T, E: MayConflict>(
        &mut self,
        tried: (Range<usize>, WriteAttempt),
        result: Result<T, E>,
    ) -> Result<Option<T>, E> {
        let (range, effort) = tried;
        let error = match result {
            Ok(done) => return Ok(Some(done)),
            Err(error) => error,
        };
        let Some(fault) = error.fault().filter(|_| !range.is_empty()) else {
            return Err(error);
        };
        let is_told = error.refused().is_some_and(|fault| !fault.is_slow());
        match effort {
            WriteAttempt::GiveUp(_) => return Err(error),
            WriteAttempt::Write(_) if range.len() == 1 => self.0.push((range, WriteAttempt::GiveUp(fault))),
            WriteAttempt::Write(WriteMode::Together) if is_told => {
                self.0.push((range, WriteAttempt::Write(WriteMode::Each)));
            }
            WriteAttempt::Write(WriteMode::Each) if is_told => {
                self.0.push((range, WriteAttempt::Write(WriteMode::Resigned)));
            }
            // What takes too long takes longer row by row; smaller parts help.
            WriteAttempt::Write(_) => {
                let size = range.len().div_ceil(PARTS);
                let parts = range.clone().step_by(size).rev();
                let parts = parts.map(|start| start..range.end.min(start + size));
                self.0
                    .extend(parts.map(|part| (part, WriteAttempt::Write(WriteMode::Together))));
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::StoreError;

    /// Attempts a batch in which some users cannot be written, and returns the users written and those given up.
    fn written(size: usize, bad: &[usize]) -> (Vec<usize>, Vec<usize>) {
        let (mut done, mut given_up) = (Vec::new(), Vec::new());
        let mut parts = Parts::of(size);
        while let Some((range, effort)) = parts.next() {
            let has_bad = bad.iter().any(|at| range.contains(at));
            let result = match &effort {
                WriteAttempt::Write(_) if has_bad => Err(StoreError::Conflict),
                _ => Ok(()),
            };
            let part = range.clone();
            let is_given_up = matches!(effort, WriteAttempt::GiveUp(_));
            if parts.settle((range, effort), result).unwrap().is_some() {
                done.extend(part.clone());
                given_up.extend(part.filter(|_| is_given_up));
            }
        }
        (done, given_up)
    }

    #[test]
    fn everybody_is_done_in_order_and_only_the_bad_are_given_up() {
        let all: Vec<usize> = (0..1000).collect();
        assert_eq!(written(1000, &[]), (all.clone(), vec![]));
        assert_eq!(written(1000, &[0, 17, 999]), (all, vec![0, 17, 999]));
        assert_eq!(written(1, &[0]), (vec![0], vec![0]));
    }

    #[test]
    fn what_is_nobodys_fault_ends_the_batch() {
        let mut parts = Parts::of(3);
        let tried = parts.next().unwrap();
        assert!(matches!(
            parts.settle::<(), _>(tried, Err(StoreError::LeaseLost)),
            Err(StoreError::LeaseLost)
        ));
        let mut nobody = Parts::of(0);
        let tried = nobody.next().unwrap();
        assert!(nobody.settle::<(), _>(tried, Err(StoreError::Conflict)).is_err());
    }
}
