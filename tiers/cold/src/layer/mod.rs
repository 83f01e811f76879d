//! The layers, outermost first: each is a [`crate::ColdStore`] over another one.

pub(crate) mod fault;
pub(crate) mod limit;
pub(crate) mod meter;
pub(crate) mod overdue;
pub(crate) mod retry;
pub(crate) mod swap;

#[cfg(test)]
mod tests;
