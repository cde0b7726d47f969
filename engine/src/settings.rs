//! The engine's own configuration: durable, frugal, and closed to everything outside its folder.
//!
//! Written beside the data at every start and named to the engine, which would otherwise take any `config.xml` that lies
//! in the working folder. Each file is replaced as a whole.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::thread;

const CONFIG: &str = "radtally-config.xml";
const USERS: &str = "radtally-users.xml";

/// Writes the configuration for an engine in `data_dir`; gives the file to name to it.
///
/// # Errors
/// The folder cannot be written to.
pub fn write(data_dir: &Path) -> io::Result<PathBuf> {
    // The engine resolves names against its own idea of a folder: give it whole ones.
    let folder = data_dir.canonicalize()?;
    replace(&folder.join(USERS), &users(threads()))?;
    let config_file = folder.join(CONFIG);
    replace(&config_file, &config(&folder.join(USERS)))?;
    Ok(config_file)
}

fn replace(file: &Path, text: &str) -> io::Result<()> {
    let aside = file.with_extension("new");
    fs::write(&aside, text)?;
    fs::rename(aside, file)
}

/// Half of the processors: the packet path lives on the same machine.
fn threads() -> usize {
    thread::available_parallelism().map_or(2, |all| all.get().div_ceil(2)).max(2)
}

/// The library's defaults lose acknowledged inserts in a power cut: parts are not synced, and merged parts replace their
/// sources at once. ClickHouse's own server keeps the sources for eight minutes.
fn config(users_file: &Path) -> String {
    format!(
        "<clickhouse>
    <users_config>{}</users_config>
    <merge_tree>
        <fsync_after_insert>1</fsync_after_insert>
        <fsync_part_directory>1</fsync_part_directory>
        <min_rows_to_fsync_after_merge>1</min_rows_to_fsync_after_merge>
        <min_compressed_bytes_to_fsync_after_merge>1</min_compressed_bytes_to_fsync_after_merge>
        <old_parts_lifetime>480</old_parts_lifetime>
    </merge_tree>
    <max_server_memory_usage_to_ram_ratio>0.5</max_server_memory_usage_to_ram_ratio>
    <mark_cache_size>134217728</mark_cache_size>
    <index_mark_cache_size>33554432</index_mark_cache_size>
    <primary_index_cache_size>134217728</primary_index_cache_size>
    <query_condition_cache_size>16777216</query_condition_cache_size>
    <compiled_expression_cache_size>33554432</compiled_expression_cache_size>
    <background_pool_size>2</background_pool_size>
</clickhouse>
",
        escape(&users_file.to_string_lossy())
    )
}

/// The one user, with what radtally's statements need and no more: no source outside the database, no user management,
/// no SYSTEM statement. A statement that runs for five minutes is stopped unless its own settings say otherwise. Small
/// blocks keep the parts of a large result small: as fast as the default, with a tenth of its memory.
fn users(threads: usize) -> String {
    format!(
        "<clickhouse>
    <profiles>
        <default>
            <max_threads>{threads}</max_threads>
            <max_block_size>8192</max_block_size>
            <max_execution_time>300</max_execution_time>
            <async_insert>0</async_insert>
            <allow_introspection_functions>0</allow_introspection_functions>
        </default>
    </profiles>
    <users>
        <default>
            <password></password>
            <networks><ip>127.0.0.1</ip><ip>::1</ip></networks>
            <profile>default</profile>
            <quota>default</quota>
            <grants>
                <query>GRANT SHOW, SELECT, INSERT, ALTER, TRUNCATE, OPTIMIZE, CHECK, KILL QUERY, dictGet ON *.*</query>
                <query>GRANT CREATE DATABASE, CREATE TABLE, CREATE VIEW, CREATE TEMPORARY TABLE ON *.*</query>
                <query>GRANT DROP DATABASE, DROP TABLE, DROP VIEW ON *.*</query>
            </grants>
        </default>
    </users>
    <quotas><default></default></quotas>
</clickhouse>
"
    )
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_with_odd_signs_in_its_name_is_named_right() {
        let folder = tempfile::tempdir().unwrap();
        let odd = folder.path().join("a & <b>");
        fs::create_dir(&odd).unwrap();
        let text = fs::read_to_string(write(&odd).unwrap()).unwrap();
        assert!(text.contains("/a &amp; &lt;b&gt;/radtally-users.xml</users_config>"), "{text}");
    }
}
