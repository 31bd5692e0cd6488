//! A zone as text, one record a line, as `pdnsutil list-zone` has it.

use std::fmt::Write;

use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use rokko_control::{ControlError, ZoneView};
use rokko_zone::{Page, Zone};

use super::content;
use super::describe::pages_of;
use super::failure::Failure;
use super::request::Caller;
use super::zone_id::ZonePath;
use crate::state::ApiState;
use crate::stream::{Source, body_of, ttl_of};
use crate::task::read;

pub(super) async fn export(
    State(state): State<ApiState>,
    Caller(who): Caller,
    ZonePath(zone): ZonePath,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let accepts = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or("");
    let json = accepts.contains("application/json");
    let ZoneView { zone, .. } = read(&state.control, move |control| control.zone(&who, &zone)).await?;
    let body = body_of(TextSource { pages: pages_of(&zone), zone, json, started: false }).await?;
    let content_type = if json { "application/json" } else { "text/plain; charset=us-ascii" };
    Ok(([(header::CONTENT_TYPE, content_type)], body).into_response())
}

/// Writes the records a page of the zone at a time.
struct TextSource {
    zone: Zone,
    pages: std::vec::IntoIter<Page>,
    /// The text is the field `zone` of an object.
    json: bool,
    started: bool,
}

impl TextSource {
    fn lines(&self, page: &Page) -> String {
        let mut lines = String::new();
        for node in page.view().nodes() {
            let owner = self.zone.view().name_of(node);
            for rrset in node.rrsets() {
                let rtype = rrset.rtype();
                for data in rrset.rdatas() {
                    let ttl = ttl_of(&self.zone, &owner, rrset, data);
                    let content = content::to_text(rtype, data);
                    // Writing to a string does not fail.
                    let _ = writeln!(lines, "{owner}\t{ttl}\tIN\t{rtype}\t{content}");
                }
            }
        }
        lines
    }
}

impl Source for TextSource {
    fn fill(&mut self, out: &mut Vec<u8>) -> Result<bool, ControlError> {
        if self.json && !self.started {
            out.extend_from_slice(b"{\"zone\":\"");
        }
        self.started = true;
        let Some(page) = self.pages.next() else {
            if self.json {
                out.extend_from_slice(b"\"}");
            }
            return Ok(false);
        };
        let lines = self.lines(&page);
        if self.json {
            let quoted = serde_json::Value::String(lines).to_string();
            out.extend_from_slice(&quoted.as_bytes()[1..quoted.len() - 1]);
        } else {
            out.extend_from_slice(lines.as_bytes());
        }
        Ok(true)
    }
}
