//! The frame around every page: who is logged in, where they are, and what does not work right now.

use schema::health::{CLICKHOUSE, EXPORTER, HealthBoard, JOURNAL, LISTENER, PartStatus};
use subscribers::Identity;

use crate::{App, assets};

/// What `layout.html` needs.
pub(crate) struct Shell {
    pub(crate) assets: &'static str,
    pub(crate) staff: String,
    pub(crate) role: &'static str,
    pub(crate) csrf: String,
    /// The page that is open: `online`, `nas`, `ledger`, `health`, or none of them.
    pub(crate) active: &'static str,
    pub(crate) zone: &'static str,
    pub(crate) banners: Vec<Banner>,
}

/// A line above the page.
pub(crate) struct Banner {
    pub(crate) class: &'static str,
    pub(crate) text: String,
}

impl Shell {
    pub(crate) fn new(app: &App, staff: Identity, active: &'static str) -> Self {
        Self {
            assets: assets::base(),
            role: staff.role.as_str(),
            staff: staff.name,
            csrf: staff.csrf.unwrap_or_default(),
            active,
            zone: app.calendar().zone().name(),
            banners: banners(&app.deps.api.health),
        }
    }
}

/// What staff should know before they trust the numbers.
fn banners(health: &HealthBoard) -> Vec<Banner> {
    let parts = health.parts();
    let told = [
        (LISTENER, "Accounting packets are not received"),
        (JOURNAL, "Accounting packets are not acknowledged; NASes will send them again"),
        (
            CLICKHOUSE,
            "ClickHouse does not answer: usage and history are not available. Live data goes on and nothing is lost",
        ),
        (EXPORTER, "Usage and history trail behind; nothing is lost"),
    ];
    let banner = |(part, text): (&str, &str)| {
        let health = parts.get(part).filter(|health| health.status != PartStatus::Up)?;
        let class = if health.status == PartStatus::Down { "rt-banner-down" } else { "rt-banner-slow" };
        let reason = health.reason.as_deref().map_or(String::new(), |reason| format!(" ({reason})"));
        Some(Banner { class, text: format!("{text}{reason}.") })
    };
    told.into_iter().filter_map(banner).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_banner_says_what_does_not_work_and_what_goes_on() {
        let health = HealthBoard::default();
        health.up(JOURNAL);
        assert!(banners(&health).is_empty());
        health.down(CLICKHOUSE, "connection refused");
        let shown = banners(&health);
        assert_eq!(shown.len(), 1);
        assert!(shown[0].text.contains("Live data goes on") && shown[0].text.contains("connection refused"));
    }
}
