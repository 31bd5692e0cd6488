//! Plain calls of the PowerDNS-compatible API.

use serde_json::Value;

use crate::harness::{KEY, Node};

/// A client that keeps its connection.
pub(crate) struct Pdns {
    agent: ureq::Agent,
    api: String,
}

/// What a call came to.
#[derive(Debug)]
pub(crate) enum Called {
    /// The status, and the body; null if there is none.
    Answered(u16, Value),
    /// The connection broke: whether the call worked is not known.
    Broken,
}

impl Pdns {
    pub(crate) fn new(node: &Node) -> Self {
        let agent = ureq::Agent::config_builder().http_status_as_error(false).proxy(None).build().new_agent();
        Self { agent, api: node.api.clone() }
    }

    pub(crate) fn call(&self, method: &str, path: &str, body: &Value) -> Called {
        self.request(method, &format!("api/v1/servers/localhost/{path}"), body)
    }

    /// A call by its whole path.
    pub(crate) fn request(&self, method: &str, path: &str, body: &Value) -> Called {
        let request = ureq::http::Request::builder().method(method).uri(format!("{}/{path}", self.api));
        let request = request.header("X-API-Key", KEY).header("Content-Type", "application/json");
        let text = if body.is_null() { String::new() } else { body.to_string() };
        let answered = self.agent.run(request.body(text).unwrap()).and_then(|mut response| {
            let text = response.body_mut().with_config().limit(u64::MAX).read_to_string()?;
            Ok((response.status().as_u16(), text))
        });
        match answered {
            Ok((status, text)) if text.is_empty() => Called::Answered(status, Value::Null),
            Ok((status, text)) => Called::Answered(status, serde_json::from_str(&text).unwrap()),
            Err(_) => Called::Broken,
        }
    }

    /// The body of a GET that has to succeed.
    #[track_caller]
    pub(crate) fn read(&self, path: &str) -> Value {
        self.call("GET", path, &Value::Null).body()
    }

    /// The body of a GET of the native API that has to succeed.
    #[track_caller]
    pub(crate) fn read_native(&self, path: &str) -> Value {
        self.request("GET", &format!("v1/{path}"), &Value::Null).body()
    }

    /// A PATCH that has to succeed.
    #[track_caller]
    pub(crate) fn patch(&self, zone: &str, rrsets: &Value) {
        let body = serde_json::json!({ "rrsets": rrsets });
        match self.call("PATCH", &format!("zones/{zone}"), &body) {
            Called::Answered(204, Value::Null) => {}
            other => panic!("{other:?}"),
        }
    }
}

impl Called {
    #[track_caller]
    fn body(self) -> Value {
        match self {
            Self::Answered(200, body) => body,
            other => panic!("{other:?}"),
        }
    }
}

/// An RRset of a PATCH that puts these records in place.
pub(crate) fn replace(name: &str, rtype: &str, ttl: u32, contents: &[&str]) -> Value {
    let records: Vec<Value> = contents.iter().map(|content| serde_json::json!({ "content": content })).collect();
    serde_json::json!({ "name": name, "type": rtype, "ttl": ttl, "changetype": "REPLACE", "records": records })
}
