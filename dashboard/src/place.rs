//! The address of a statistics page: everything it shows follows from it, so that every view can be linked.

use std::fmt::Write;

use serde::Deserialize;

use crate::next;
use crate::period::{Period, Preset};

/// Rows per page of the session history.
pub(crate) const SIZES: [usize; 3] = [25, 50, 100];
/// Windows of the live chart, in minutes.
pub(crate) const WINDOWS: [u32; 4] = [1, 5, 15, 60];

/// How usage by day is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DaysView {
    /// Bars of octets.
    Chart,
    /// Average and highest rates.
    Rates,
    /// A table of octets and rates.
    Table,
}

impl DaysView {
    pub(crate) const ALL: [Self; 3] = [Self::Chart, Self::Rates, Self::Table];

    /// As it stands in the address; nothing for the default.
    pub(crate) const fn in_address(self) -> Option<&'static str> {
        match self {
            Self::Chart => None,
            Self::Rates => Some("rates"),
            Self::Table => Some("table"),
        }
    }

    /// As people read it.
    pub(crate) const fn text(self) -> &'static str {
        match self {
            Self::Chart => "Chart",
            Self::Rates => "Rates",
            Self::Table => "Table",
        }
    }
}

/// The query of a statistics page. Unknown values fall back to the default, as links from elsewhere may be old.
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct Place {
    pub(crate) period: Option<String>,
    pub(crate) from: Option<String>,
    pub(crate) to: Option<String>,
    /// How usage by day is shown: `rates` or `table`, else a chart.
    pub(crate) days: Option<String>,
    /// Order of the session history, as the API names it.
    pub(crate) sort: Option<String>,
    /// Rows per page of the session history.
    pub(crate) limit: Option<String>,
    /// Where the page of the session history begins.
    pub(crate) after: Option<String>,
    /// Minutes of the live chart.
    pub(crate) window: Option<String>,
}

impl Place {
    /// This address of `login` with a change.
    pub(crate) fn with(&self, login: &str, change: impl FnOnce(&mut Self)) -> String {
        let mut place = self.clone();
        change(&mut place);
        place.address(login)
    }

    /// The address of `login` itself.
    pub(crate) fn address(&self, login: &str) -> String {
        let mut address = format!("/logins/{}", next::encoded(login));
        let mut separator = '?';
        for (name, value) in self.pairs() {
            // Writing to a String cannot fail.
            let _ = write!(address, "{separator}{name}={}", next::encoded(value));
            separator = '&';
        }
        address
    }

    /// Another period: the history begins anew.
    pub(crate) fn choose(&mut self, preset: Preset) {
        self.period = Some(preset.as_str().to_owned());
        (self.from, self.to, self.after) = (None, None, None);
    }

    /// What a form that chooses dates must keep.
    pub(crate) fn kept(&self) -> Vec<(&'static str, String)> {
        let kept =
            self.pairs().into_iter().filter(|(name, _)| !["period", "from", "to", "after"].contains(name));
        kept.map(|(name, value)| (name, value.to_owned())).collect()
    }

    /// Rows per page.
    pub(crate) fn rows(&self) -> usize {
        let asked = self.limit.as_deref().and_then(|limit| limit.parse().ok());
        asked.filter(|limit| SIZES.contains(limit)).unwrap_or(SIZES[0])
    }

    /// Minutes of the live chart.
    pub(crate) fn minutes(&self) -> u32 {
        let asked = self.window.as_deref().and_then(|window| window.parse().ok());
        asked.filter(|minutes| WINDOWS.contains(minutes)).unwrap_or(15)
    }

    /// How usage by day is shown.
    pub(crate) fn view(&self) -> DaysView {
        match self.days.as_deref() {
            Some("table") => DaysView::Table,
            Some("rates") => DaysView::Rates,
            _ => DaysView::Chart,
        }
    }

    /// Puts a period into words that need no calendar: `2026-03-01 to 2026-03-31`.
    pub(crate) fn range(period: &Period) -> String {
        if period.first == period.last {
            period.first.to_string()
        } else {
            format!("{} to {}", period.first, period.last)
        }
    }

    fn pairs(&self) -> Vec<(&'static str, &str)> {
        let all = [
            ("period", &self.period),
            ("from", &self.from),
            ("to", &self.to),
            ("days", &self.days),
            ("sort", &self.sort),
            ("limit", &self.limit),
            ("after", &self.after),
            ("window", &self.window),
        ];
        all.into_iter().filter_map(|(name, value)| Some((name, value.as_deref()?))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_period_keeps_how_things_are_shown_and_begins_the_history_anew() {
        let place = Place {
            period: Some("custom".into()),
            from: Some("2026-01-01".into()),
            to: Some("2026-01-02".into()),
            days: Some("table".into()),
            after: Some("x".into()),
            ..Place::default()
        };
        let address = place.with("ada/1", |place| place.choose(Preset::Month));
        assert_eq!(address, "/logins/ada%2F1?period=month&days=table");
        assert_eq!(place.kept(), [("days", "table".to_owned())]);
    }

    #[test]
    fn odd_values_fall_back() {
        let place = Place { limit: Some("1000000".into()), window: Some("x".into()), ..Place::default() };
        assert_eq!((place.rows(), place.minutes()), (25, 15));
    }
}
