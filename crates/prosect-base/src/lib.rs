//! What every room of Prosect needs: patient data as a type, limits for foreign
//! bytes, the classes of faults, and how long work tells its progress and is stopped.
//! Nothing else belongs here; a fifth thing needs an ADR.

mod phi;
mod limits;
mod fault;
mod progress;

pub use fault::{Fault, Faulty};
pub use limits::Limits;
pub use phi::Phi;
pub use progress::{Cancel, Canceled, Progress, Silent};
