//! What must hold whatever octets arrive: the fuzz targets' inputs (`fuzz/`), which the tests replay.
//!
//! Compiled for tests, and under `cfg(fuzzing)`, which `cargo fuzz` sets; no part of the service. It stands here because the
//! journal's octets are nobody's business outside this crate.

mod packet;

pub use crate::journal::fuzzing::journal;
pub use packet::packet;

#[cfg(test)]
mod tests {
    use std::path::Path;

    /// Runs every kept input of a target; the last name that is printed is the one that fails.
    fn replay(target: &str, run: fn(&[u8])) {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(target);
        let mut inputs: Vec<_> = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
        inputs.sort();
        assert!(inputs.len() > 20, "{} inputs are kept", inputs.len());
        for input in inputs {
            println!("{}", input.display());
            run(&std::fs::read(input).unwrap());
        }
    }

    #[test]
    fn kept_packets_are_decoded_or_refused_and_lose_nothing_but_their_secrets() {
        replay("packet", super::packet);
    }

    #[test]
    fn kept_segments_give_sound_records_only_and_tell_what_is_missing() {
        replay("journal", super::journal);
    }
}
