//! Rates that a NAS says it allows a subscriber, in the spellings of vendors.
//!
//! A plan's rate goes before the line's: the line carries more than the plan allows. Of a vendor's pair each direction
//! counts by itself; 0 means no limit and is as good as none.

/// A rate in each direction, bit/s.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Pair {
    pub(crate) download: Option<u64>,
    pub(crate) upload: Option<u64>,
}

/// What a record says of rates.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Rates {
    mikrotik: Pair,
    pub(super) wispr: Pair,
    filter: Pair,
    pub(super) line: Pair,
}

impl Rates {
    /// Rate to the subscriber, bit/s; 0 where unknown.
    pub(crate) fn download(&self) -> u64 {
        self.first(|pair| pair.download)
    }

    /// Rate from the subscriber, bit/s; 0 where unknown.
    pub(crate) fn upload(&self) -> u64 {
        self.first(|pair| pair.upload)
    }

    fn first(&self, direction: fn(&Pair) -> Option<u64>) -> u64 {
        let pairs = [self.mikrotik, self.wispr, self.filter, self.line];
        pairs.iter().filter_map(direction).find(|rate| *rate > 0).unwrap_or(0)
    }

    /// Mikrotik-Rate-Limit: `rx[/tx] …` as the router sees it, so that rx is upload; one rate is both; `k`, `M` and `G` are
    /// powers of 1000. Bursts and priorities may follow.
    pub(super) fn mikrotik(&mut self, value: &[u8]) {
        let text = std::str::from_utf8(value).unwrap_or_default();
        let first = text.split_ascii_whitespace().next().unwrap_or_default();
        let (upload, download) = first.split_once('/').unwrap_or((first, first));
        if let (Some(upload), Some(download)) = (with_suffix(upload), with_suffix(download))
            && self.mikrotik == Pair::default()
        {
            self.mikrotik = Pair { download: Some(download), upload: Some(upload) };
        }
    }

    /// Filter-Id as accel-ppp's shaper reads it: `down/up` in kbit/s. Anything else is a filter's name.
    pub(crate) fn filter_id(&mut self, value: &[u8]) {
        let text = std::str::from_utf8(value).unwrap_or_default();
        let pair = text.split_once('/').and_then(|(down, up)| Some((kilobits(down)?, kilobits(up)?)));
        if let (Some((download, upload)), true) = (pair, self.filter == Pair::default()) {
            self.filter = Pair { download: Some(download), upload: Some(upload) };
        }
    }
}

fn with_suffix(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(['k', 'K', 'M', 'G']);
    let factor = match text.strip_prefix(digits)? {
        "" => 1,
        "k" | "K" => 1_000,
        "M" => 1_000_000,
        "G" => 1_000_000_000,
        _ => return None,
    };
    number(digits)?.checked_mul(factor)
}

fn kilobits(text: &str) -> Option<u64> {
    number(text)?.checked_mul(1_000)
}

/// Digits and nothing else: not the signs that `parse` takes.
fn number(digits: &str) -> Option<u64> {
    digits.bytes().all(|octet| octet.is_ascii_digit()).then(|| digits.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mikrotik_rates_are_upload_first_and_the_first_pair_counts() {
        for (text, upload, download) in [
            ("2M/10M", 2_000_000, 10_000_000),
            ("512k/1500k 1M/3M 256k/700k 8 128k/256k", 512_000, 1_500_000),
            ("5M", 5_000_000, 5_000_000),
            ("1000000/2G", 1_000_000, 2_000_000_000),
            ("0/0", 0, 0),
            ("fast/slow", 0, 0),
            ("/", 0, 0),
            ("-1M/+2M", 0, 0),
            ("99999999999999999999M/1M", 0, 0),
        ] {
            let mut rates = Rates::default();
            rates.mikrotik(text.as_bytes());
            assert_eq!((rates.upload(), rates.download()), (upload, download), "{text}");
        }
    }

    #[test]
    fn a_filter_id_is_a_rate_only_where_it_is_two_numbers() {
        for (text, download, upload) in [
            ("20000/5000", 20_000_000, 5_000_000),
            ("std.ppp.in", 0, 0),
            ("10M/2M", 0, 0),
            ("100/", 0, 0),
            ("1/2/3", 0, 0),
            ("20000", 0, 0),
        ] {
            let mut rates = Rates::default();
            rates.filter_id(text.as_bytes());
            assert_eq!((rates.download(), rates.upload()), (download, upload), "{text}");
        }
    }

    #[test]
    fn a_plans_rate_goes_before_the_lines() {
        let mut rates = Rates { line: Pair { download: Some(100), upload: Some(50) }, ..Rates::default() };
        assert_eq!((rates.download(), rates.upload()), (100, 50));
        rates.wispr = Pair { download: Some(30), upload: Some(0) };
        assert_eq!((rates.download(), rates.upload()), (30, 50), "0 is no limit");
        rates.mikrotik(b"7/9");
        assert_eq!((rates.download(), rates.upload()), (9, 7));
    }
}
