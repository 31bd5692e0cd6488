//! Zones as immutable snapshots: pages, edits, checks, presentation format and the catalog.
//!
//! Pure: no socket, file, clock, randomness, thread or async runtime.

pub mod catalog;
pub mod check;
mod codec;
pub mod digest;
pub mod edit;
pub mod file;
pub mod image;
pub mod page;
pub mod rdata;
pub mod rrset;
pub mod tree;
pub mod values;
pub mod zone;

pub use catalog::{Catalog, CatalogReader, Fill, Hint, Lookup};
pub use codec::DecodeError;
pub use digest::{Digest, ShortDigest, ZoneMark};
pub use edit::{Contents, Delta, Edit, EditError, RrsetDelta};
pub use image::{ImageError, ImageReader};
pub use page::{Marks, NodeRef, Page, PageError, RrsetRef};
pub use rrset::{Record, Rrset};
pub use tree::{Match, PageChanges};
pub use values::{Revision, Serial, Ttl};
pub use zone::{Denial, Zone, ZonePageChanges, ZoneRef};
