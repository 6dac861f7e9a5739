//! The vocabulary of pinshim.
