//! `GET /logins/{login}`: what a login does now, and what it used in a period.
//!
//! htmx asks for single parts of the page by their id; only what a part needs is then looked up.

use askama::Template;
use axum::extract::{Path, Query, State};
use axum::http::HeaderMap;
use axum::response::Html;
use collector::OnlineFilter;
use schema::UnixTime;

use crate::archive::{self, Archive, Failure};
use crate::error::PageError;
use crate::online::OnlineRow;
use crate::period::{Period, Preset};
use crate::place::{DaysView, Place, SIZES, WINDOWS};
use crate::rows::{DayRow, HistoryPage, RatesTable, Summary};
use crate::session::Staff;
use crate::shell::Shell;
use crate::{App, explain, period};

/// Sessions of one login shown as online.
const ONLINE: usize = 100;

#[derive(Template)]
#[template(path = "statistics.html")]
struct StatisticsPage {
    shell: Shell,
    login: String,
    windows: Vec<Window>,
    online: OnlinePart,
    period: PeriodPart,
}

#[derive(Template)]
#[template(path = "online_login.html")]
struct OnlinePart {
    here: String,
    silent: bool,
    show_login: bool,
    rows: Vec<OnlineRow>,
}

#[derive(Template)]
#[template(path = "period.html")]
struct PeriodPart {
    presets: Vec<Link>,
    action: String,
    kept: Vec<(&'static str, String)>,
    from_date: String,
    to_date: String,
    problem: Option<String>,
    summary: SummaryPart,
    days: DaysPart,
    history: HistoryPart,
}

#[derive(Template)]
#[template(path = "summary.html")]
struct SummaryPart {
    here: String,
    /// Where the totals are explained.
    explain: String,
    /// The period is not over.
    open: bool,
    range: String,
    summary: Result<Summary, Failure>,
}

#[derive(Template)]
#[template(path = "days.html")]
struct DaysPart {
    here: String,
    open: bool,
    title: &'static str,
    step: &'static str,
    step_title: &'static str,
    views: Vec<Link>,
    as_table: bool,
    content: Content,
}

enum Content {
    Volume(Vec<DayRow>),
    Rates(RatesTable),
    Failed(Failure),
}

#[derive(Template)]
#[template(path = "history.html")]
struct HistoryPart {
    here: String,
    first: String,
    first_page: bool,
    range: String,
    sizes: Vec<Link>,
    columns: Vec<Column>,
    history: Result<HistoryPage, Failure>,
}

impl Content {
    const fn is_slow(&self) -> bool {
        matches!(self, Self::Failed(Failure::Slow))
    }
}

impl askama::filters::HtmlSafe for OnlinePart {}
impl askama::filters::HtmlSafe for PeriodPart {}
impl askama::filters::HtmlSafe for SummaryPart {}
impl askama::filters::HtmlSafe for DaysPart {}
impl askama::filters::HtmlSafe for HistoryPart {}

struct Window {
    minutes: u32,
    text: String,
    selected: bool,
}

struct Link {
    href: String,
    text: String,
    selected: bool,
}

/// A column of the session history.
struct Column {
    text: &'static str,
    number: bool,
    /// Where it sorts; `None` for columns that do not.
    href: Option<String>,
    /// `aria-sort`, where the table is sorted by it.
    order: Option<&'static str>,
}

/// What a page or a part of it is about.
struct View<'a> {
    app: &'a App,
    archive: Archive<'a>,
    login: &'a str,
    place: &'a Place,
    period: Period,
    now: UnixTime,
}

/// `GET /logins/{login}`.
pub(crate) async fn show(
    Staff(staff): Staff,
    State(app): State<App>,
    Path(login): Path<String>,
    Query(place): Query<Place>,
    headers: HeaderMap,
) -> Result<Html<String>, PageError> {
    let now = UnixTime::now();
    let (period, problem) = Period::read(
        place.period.as_deref(),
        place.from.as_deref(),
        place.to.as_deref(),
        &app.calendar(),
        now,
    );
    let part = headers.get("hx-target").and_then(|target| target.to_str().ok());
    let alone = matches!(part, Some("summary" | "days" | "history"));
    let patience = if alone { archive::LONG } else { archive::SHORT };
    let archive = Archive { deps: &app.deps.api, patience };
    let view = View { app: &app, archive, login: &login, place: &place, period, now };
    let html = match part {
        Some("online") => view.online().render()?,
        Some("summary") => view.summary().await.render()?,
        Some("days") => view.days().await.render()?,
        Some("history") => view.history().await.render()?,
        Some("period") => view.period(problem).await.render()?,
        _ => {
            let shell = Shell::new(&app, staff, "");
            let (online, period) = (view.online(), view.period(problem).await);
            let windows = windows(place.minutes());
            StatisticsPage { shell, login: login.clone(), windows, online, period }.render()?
        }
    };
    Ok(Html(html))
}

impl View<'_> {
    fn here(&self) -> String {
        self.place.address(self.login)
    }

    fn online(&self) -> OnlinePart {
        let filter = OnlineFilter { login: Some(self.login.to_owned()), ..OnlineFilter::default() };
        let sessions = self.app.deps.api.online.find(&filter, None, ONLINE, self.now);
        OnlinePart {
            here: self.here(),
            silent: self.app.is_silent(self.now),
            show_login: false,
            rows: sessions
                .iter()
                .map(|session| OnlineRow::new(session, self.app.calendar().zone()))
                .collect(),
        }
    }

    async fn period(&self, problem: Option<String>) -> PeriodPart {
        let (summary, days, history) = tokio::join!(self.summary(), self.days(), self.history());
        PeriodPart {
            presets: self.presets(),
            action: Place::default().address(self.login),
            kept: self.place.kept(),
            from_date: self.period.first.to_string(),
            to_date: self.period.last.to_string(),
            problem,
            summary,
            days,
            history,
        }
    }

    async fn summary(&self) -> SummaryPart {
        SummaryPart {
            here: self.here(),
            explain: explain::login_address(self.login, self.period.from, self.period.to),
            open: self.period.to > self.now,
            range: Place::range(&self.period),
            summary: self.archive.summary(self.login, &self.period).await,
        }
    }

    async fn days(&self) -> DaysPart {
        let view = self.place.view();
        let (title, step, content) = if view == DaysView::Rates {
            let rates = self.archive.rates(self.login, &self.period, self.now).await;
            ("Rates", self.period.rate_step(), rates.map(Content::Rates))
        } else {
            let mut days = self.archive.days(self.login, &self.period, self.now).await;
            if view == DaysView::Table {
                // A chart runs to the right, a table begins with what is new.
                days = days.map(|days| days.into_iter().rev().collect());
            }
            ("Usage", self.period.step(), days.map(Content::Volume))
        };
        let (name, step_title) = period::step_words(step);
        DaysPart {
            here: self.here(),
            open: self.period.to > self.now,
            title,
            step: name,
            step_title,
            views: self.views(view),
            as_table: view == DaysView::Table,
            content: content.unwrap_or_else(Content::Failed),
        }
    }

    async fn history(&self) -> HistoryPart {
        let first = self.place.with(self.login, |place| place.after = None);
        HistoryPart {
            here: self.here(),
            first_page: self.place.after.is_none(),
            first,
            range: Place::range(&self.period),
            sizes: self.sizes(),
            columns: self.columns(),
            history: self.archive.history(self.login, &self.period, self.place).await,
        }
    }

    fn presets(&self) -> Vec<Link> {
        let link = |preset: Preset| Link {
            href: self.place.with(self.login, |place| place.choose(preset)),
            text: preset.text().to_owned(),
            selected: preset == self.period.preset,
        };
        Preset::LINKS.into_iter().map(link).collect()
    }

    fn views(&self, shown: DaysView) -> Vec<Link> {
        let link = |view: DaysView| Link {
            href: self.place.with(self.login, |place| place.days = view.in_address().map(Into::into)),
            text: view.text().to_owned(),
            selected: view == shown,
        };
        DaysView::ALL.into_iter().map(link).collect()
    }

    fn sizes(&self) -> Vec<Link> {
        let link = |size: usize| Link {
            href: self.place.with(self.login, |place| {
                place.limit = Some(size.to_string());
                place.after = None;
            }),
            text: size.to_string(),
            selected: size == self.place.rows(),
        };
        SIZES.into_iter().map(link).collect()
    }

    fn columns(&self) -> Vec<Column> {
        let sort = self.place.sort.as_deref().unwrap_or(archive::DEFAULT_SORT);
        let column = |(text, number, name): (&'static str, bool, Option<&str>)| {
            let order = name.and_then(|name| archive::order(sort, name));
            let next = name.map(|name| archive::next_sort(sort, name));
            let href = next.map(|next| {
                self.place.with(self.login, |place| {
                    place.sort = Some(next);
                    place.after = None;
                })
            });
            Column { text, number, href, order }
        };
        archive::COLUMNS.into_iter().map(column).collect()
    }
}

fn windows(chosen: u32) -> Vec<Window> {
    let window = |minutes: u32| Window {
        minutes,
        text: if minutes == 1 { "1 minute".to_owned() } else { format!("{minutes} minutes") },
        selected: minutes == chosen,
    };
    WINDOWS.into_iter().map(window).collect()
}
