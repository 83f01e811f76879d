//! The layers, outermost first: each is a [`crate::ColdStore`] over another one.

pub(crate) mod fault;
pub(crate) mod limit;
pub(crate) mod meter;
pub(crate) mod overdue;
pub(crate) mod retry;

#[cfg(test)]
mod tests;
