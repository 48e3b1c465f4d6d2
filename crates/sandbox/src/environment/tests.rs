//! Discovery, on hosts that are made up.
