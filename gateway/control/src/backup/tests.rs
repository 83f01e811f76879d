//! Backups, tested.
