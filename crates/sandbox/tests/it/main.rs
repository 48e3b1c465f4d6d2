//! The native driver, for real: as the user that runs the tests and, if that is root, as an ordinary user as well.

mod first;
