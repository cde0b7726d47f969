//! Says what to do where the front-end packages are not installed; they are embedded from `node_modules`.

use std::path::Path;

/// The files that `src/assets.rs` embeds.
const FILES: [&str; 4] = [
    "node_modules/@tabler/core/dist/css/tabler.min.css",
    "node_modules/htmx.org/dist/htmx.min.js",
    "node_modules/uplot/dist/uPlot.iife.min.js",
    "node_modules/uplot/dist/uPlot.min.css",
];

fn main() {
    for file in FILES {
        println!("cargo::rerun-if-changed={file}");
        if !Path::new(file).exists() {
            println!(
                "cargo::error=dashboard/{file} is missing: the front-end packages are not installed. Run `npm ci` in \
                 dashboard/, or `cargo xtask demo`, which does it."
            );
        }
    }
    for folder in ["static", "templates", "package-lock.json"] {
        println!("cargo::rerun-if-changed={folder}");
    }
}
