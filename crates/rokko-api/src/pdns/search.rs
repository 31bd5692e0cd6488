//! Looking for zones, records and comments by a pattern with `*` and `?`.

use std::fmt::Write;
use std::time::{Duration, Instant};

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderName, HeaderValue};
use axum::response::{IntoResponse, Response};
use rokko_control::{Control, ControlError, Identity};
use rokko_store::{ZoneFilter, ZoneRecord};
use rokko_zone::{Zone, rdata};
use serde::Serialize;

use super::content;
use super::failure::Failure;
use super::request::{Caller, Params};
use super::zone_id::id_of;
use crate::state::ApiState;
use crate::task::read;

/// How many results there are when the client does not say.
const RESULTS_DEFAULT: usize = 100;
/// The most results of one search.
const RESULTS_MAX: usize = 10_000;
/// The longest pattern in octets.
const PATTERN_LEN_MAX: usize = 1_024;
/// How long a search goes on; what it has found by then is the answer, with the header `X-Rokko-Partial`.
const SEARCH_TIME_MAX: Duration = Duration::from_secs(10);
/// How many zones are read from the store at once.
const CHUNK: usize = 1_000;

/// One thing found.
#[derive(Debug, Serialize)]
#[serde(tag = "object_type", rename_all = "lowercase")]
enum Hit {
    Zone {
        name: String,
        zone_id: String,
    },
    Record {
        content: String,
        disabled: bool,
        name: String,
        ttl: u32,
        #[serde(rename = "type")]
        rtype: String,
        zone: String,
        zone_id: String,
    },
    Comment {
        content: String,
        name: String,
        #[serde(rename = "type")]
        rtype: String,
        zone: String,
        zone_id: String,
    },
}

/// What is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Kinds {
    zones: bool,
    records: bool,
    comments: bool,
}

pub(super) async fn search(
    State(state): State<ApiState>,
    Caller(who): Caller,
    params: Params,
) -> Result<Response, Failure> {
    let pattern = params.text("q").ok_or_else(|| Failure::unprocessable("Query q can't be blank"))?;
    if pattern.len() > PATTERN_LEN_MAX {
        return Err(Failure::unprocessable(format!("Query q has more than {PATTERN_LEN_MAX} octets")));
    }
    let max = match params.text("max").map(str::parse::<usize>) {
        None => RESULTS_DEFAULT,
        Some(Ok(0) | Err(_)) => return Err(Failure::unprocessable("Maximum entries must be larger than 0")),
        Some(Ok(max)) => max.min(RESULTS_MAX),
    };
    let wanted = kinds_of(params.text("object_type").unwrap_or("all"))?;
    let search = Search {
        pattern: pattern.as_bytes().to_vec(),
        wanted,
        max,
        until: Instant::now() + SEARCH_TIME_MAX,
        hits: Vec::new(),
    };
    let (hits, complete) = read(&state.control, move |control| search.run(control, &who)).await?;
    let mut response = Json(hits).into_response();
    if !complete {
        let partial = HeaderName::from_static("x-rokko-partial");
        response.headers_mut().insert(partial, HeaderValue::from_static("the search took too long"));
    }
    Ok(response)
}

fn kinds_of(text: &str) -> Result<Kinds, Failure> {
    let none = Kinds { zones: false, records: false, comments: false };
    Ok(match text {
        "all" => Kinds { zones: true, records: true, comments: true },
        "zone" => Kinds { zones: true, ..none },
        "record" => Kinds { records: true, ..none },
        "comment" => Kinds { comments: true, ..none },
        _ => {
            let message = "object_type must be one of the following options: all, zone, record, comment";
            return Err(Failure::unprocessable(message));
        }
    })
}

struct Search {
    pattern: Vec<u8>,
    wanted: Kinds,
    max: usize,
    until: Instant,
    hits: Vec<Hit>,
}

impl Search {
    /// What was found, and whether all zones were looked at or enough was found.
    fn run(mut self, control: &Control, who: &Identity) -> Result<(Vec<Hit>, bool), ControlError> {
        let mut after = None;
        loop {
            let records = control.zones(who, after.as_ref(), CHUNK, &ZoneFilter::default())?;
            for record in &records {
                if Instant::now() >= self.until {
                    return Ok((self.hits, false));
                }
                self.zone(control, who, record)?;
                if self.hits.len() >= self.max {
                    self.hits.truncate(self.max);
                    return Ok((self.hits, true));
                }
            }
            if records.len() < CHUNK {
                return Ok((self.hits, true));
            }
            after = records.into_iter().next_back().map(|record| record.name);
        }
    }

    fn zone(&mut self, control: &Control, who: &Identity, record: &ZoneRecord) -> Result<(), ControlError> {
        let name = record.name.to_string();
        if self.wanted.zones && self.name_matches(&name) {
            self.hits.push(Hit::Zone { zone_id: id_of(&record.name), name });
        }
        if self.wanted.comments {
            self.comments(record);
        }
        if self.wanted.records {
            match control.zone(who, &record.name) {
                Ok(view) => self.records(&view.zone, record),
                // It was deleted since the list was read.
                Err(ControlError::NotFound { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn comments(&mut self, record: &ZoneRecord) {
        for (key, annotation) in &record.meta.annotations {
            let Some((name, rtype)) = key.rsplit_once(' ') else { continue };
            let name_matches = self.name_matches(name);
            for comment in &annotation.comments {
                if name_matches || self.matches(&comment.content) {
                    self.hits.push(Hit::Comment {
                        content: comment.content.clone(),
                        name: name.to_owned(),
                        rtype: rtype.to_owned(),
                        zone: record.name.to_string(),
                        zone_id: id_of(&record.name),
                    });
                }
            }
        }
    }

    fn records(&mut self, zone: &Zone, record: &ZoneRecord) {
        let (mut looked_at, mut name, mut content) = (0_u32, String::new(), String::new());
        for (owner, rrset) in zone.rrsets() {
            looked_at = looked_at.wrapping_add(1);
            let is_late = looked_at.is_multiple_of(1_024) && Instant::now() >= self.until;
            if is_late || self.hits.len() >= self.max {
                return;
            }
            rewrite(&mut name, |text| write!(text, "{owner}"));
            let name_matches = self.name_matches(&name);
            for data in rrset.rdatas() {
                let rtype = rrset.rtype();
                if !name_matches {
                    rewrite(&mut content, |text| rdata::write_text(rtype, data, text));
                }
                if name_matches || self.name_matches(&content) {
                    self.hits.push(Hit::Record {
                        content: content::to_text(rtype, data),
                        disabled: false,
                        name: name.clone(),
                        ttl: rrset.ttl().as_secs(),
                        rtype: rtype.to_string(),
                        zone: record.name.to_string(),
                        zone_id: id_of(&record.name),
                    });
                }
            }
        }
    }

    /// Whether a text matches with or without the dot at its end.
    fn name_matches(&self, text: &str) -> bool {
        self.matches(text) || text.strip_suffix('.').is_some_and(|text| self.matches(text))
    }

    fn matches(&self, text: &str) -> bool {
        matches(&self.pattern, text.as_bytes())
    }
}

/// Puts what `write` writes in the place of what `text` was, without a new allocation for each.
fn rewrite(text: &mut String, write: impl FnOnce(&mut String) -> std::fmt::Result) {
    text.clear();
    write(text).expect("writing to a string does not fail");
}

/// Whether `text` is what `pattern` says; `*` stands for any octets and `?` for one, and the case of ASCII letters does
/// not count. Takes at most the product of both lengths.
fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut at, mut from) = (0, 0);
    // Where the last star stands, and what it has taken up to.
    let mut star: Option<(usize, usize)> = None;
    while from < text.len() {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at, from));
                at += 1;
            }
            Some(octet) if *octet == b'?' || octet.eq_ignore_ascii_case(&text[from]) => (at, from) = (at + 1, from + 1),
            _ => match &mut star {
                Some((star_at, taken)) => {
                    *taken += 1;
                    (at, from) = (*star_at + 1, *taken);
                }
                None => return false,
            },
        }
    }
    pattern[at..].iter().all(|&octet| octet == b'*')
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn patterns() {
        for (pattern, text, expected) in [
            ("*", "", true),
            ("*b9*", "www.b9.example.", true),
            ("b9", "b9.example.", false),
            ("b?.example.", "b9.example.", true),
            ("*.example.", "example.", false),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-b-c-d", false),
            ("a", "", false),
            ("*ÄB", "xÄb", true),
            ("", "", true),
        ] {
            assert_eq!(matches(pattern.as_bytes(), text.as_bytes()), expected, "{pattern} {text}");
        }
    }
}
