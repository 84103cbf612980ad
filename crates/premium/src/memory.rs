//! What becomes of memory that had secrets in it: it is wiped when it is given back, and no core dump and no other process of
//! the same user sees it.
//!
//! The vault's own types wipe themselves. The buffers of the HTTP server, of the JSON reader and of other libraries do not, and so
//! the allocator does, whoever gives memory back.

use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};
use tikv_jemallocator::Jemalloc;
use zeroizing_alloc::ZeroAlloc;

/// The allocator of this edition's binary: the community's, which here wipes what is given back.
pub type Allocator = ZeroAlloc<Jemalloc>;

/// See [`Allocator`].
pub const ALLOCATOR: Allocator = ZeroAlloc(Jemalloc);

/// Turns core dumps of this process off, and keeps other processes of the same user out of its memory. What the system does not
/// allow is left as it is: a container may forbid these calls, and has no core dumps of its own then.
pub fn protect() {
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    let _ = setrlimit(Resource::Core, none);
    let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
}
