//! What operators do: look at the status, work on the quarantine, forget a user, ask the doctor.

mod admin_token;
pub mod doctor;
pub mod forget;
pub mod quarantine;
pub mod status;
