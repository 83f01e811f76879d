//! Every rule of the journal protocol, dropped alone, is caught by some seed.
