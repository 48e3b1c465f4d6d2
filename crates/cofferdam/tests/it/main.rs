//! The program as people use it: run from outside, judged by what it prints, leaves and returns.

mod bad_input;
mod commands;
mod demo;
mod harness;
mod llama;
mod real_projects;
