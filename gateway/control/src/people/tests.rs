//! Rules about people, tested.
