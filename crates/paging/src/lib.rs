//! Pages programs out to swap while they keep running, and in again before they are needed. Linux only.
//!
//! - [`try_paging`] finds out by a trial on an own child what this machine offers: a [`Pager`], or the reason why there
//!   is none.
//! - [`Pager::page_out`] pushes the anonymous pages of processes to swap and reports the bytes that were *proven* to be
//!   free; [`Pager::page_in`] reads pages again, without a fault of the program for each.
//! - [`Pager::touched`] finds the pages that a program used since it was paged in: the [`WorkingSet`] to read next time.
//!
//! All calls block, and those that wait for a device take a limit of time. Which program is paged out when is decided
//! elsewhere. Invariant: only anonymous pages of private mappings are paged out, never a page of a file, a locked page,
//! or one that is shared with a forked process; so nothing is lost for other programs.
//!
//! ```no_run
//! use std::path::Path;
//! use std::time::Duration;
//!
//! use majordomo_paging::{Placement, Process, try_paging};
//!
//! let pager = try_paging(Path::new("/"), None)?;
//! let members = [Process::open(4711)?];
//! let out = pager.page_out(&members, None, None, Duration::from_secs(5))?;
//! println!("{} are free, {} are in swap", out.freed, out.after.swap);
//! pager.page_in(&members, None, Placement::Cached, Duration::from_secs(1))?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod advice;
mod clock;
mod completed;
mod error;
mod held;
mod mappings;
mod page_in;
mod page_out;
mod pagemap;
mod pager;
mod process;
mod range;
mod reclaim;
mod release;
mod second_pass;
mod swap;
mod trial;
mod working_set;

pub use clock::Stop;
pub use completed::Completed;
pub use error::{NotOffered, NotOfferedKind, PagingError};
pub use held::Held;
pub use page_in::{PagedIn, Placement};
pub use page_out::{Left, PagedOut};
pub use pager::{Means, Pager};
pub use process::Process;
pub use swap::{Swap, SwapDevice, SwapKind};
pub use trial::try_paging;
pub use working_set::WorkingSet;
