//! How far a call with a limit came.

/// How far a call came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Completed {
    /// To its end.
    Whole,
    /// Swap, or the part of it that the cgroup may use, was full before.
    SwapFull,
    /// Its time was over before.
    OutOfTime,
}
