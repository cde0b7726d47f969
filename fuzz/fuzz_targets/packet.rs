#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| radtally_collector::fuzzing::packet(input));
