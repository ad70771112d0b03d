//! As much of a browser as logins need: cookies for each name, and redirects on demand.

use std::collections::HashMap;

use reqwest::{Client, Method, Response, Url};

#[derive(Debug, Default)]
pub(crate) struct Browser {
    client: Client,
    cookies: HashMap<String, HashMap<String, String>>,
}

impl Browser {
    pub(crate) fn new(client: &Client) -> Self {
        Self { client: client.clone(), cookies: HashMap::new() }
    }

    pub(crate) fn cookie(&self, host: &str, name: &str) -> Option<&String> {
        self.cookies.get(host)?.get(name)
    }

    /// One request, as a browser's address bar makes it.
    pub(crate) async fn get(&mut self, url: &str) -> Response {
        self.send(Method::GET, url, "none", String::new()).await
    }

    /// A form of the page that is shown.
    pub(crate) async fn post(&mut self, url: &str, form: &str) -> Response {
        self.send(Method::POST, url, "same-origin", form.to_owned()).await
    }

    pub(crate) async fn send(
        &mut self,
        method: Method,
        url: &str,
        from: &str,
        body: String,
    ) -> Response {
        let host = Url::parse(url).unwrap().host_str().unwrap().to_owned();
        let jar = self.cookies.entry(host).or_default();
        let cookies: Vec<_> = jar.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let request = self
            .client
            .request(method, url)
            .header("cookie", cookies.join("; "))
            .header("sec-fetch-site", from)
            .header("sec-fetch-mode", "navigate");
        let response = request.body(body).send().await.unwrap();
        for set in response.headers().get_all("set-cookie") {
            let pair = set.to_str().unwrap().split(';').next().unwrap();
            let (name, value) = pair.split_once('=').unwrap();
            jar.insert(name.to_owned(), value.to_owned());
        }
        response
    }

    /// Follows redirects until there is a page.
    pub(crate) async fn open(&mut self, url: &str) -> Response {
        let mut at = url.to_owned();
        for _ in 0..10 {
            let response = self.get(&at).await;
            match target(&at, &response) {
                Some(next) => at = next,
                None => return response,
            }
        }
        panic!("redirected without end, last to {at}");
    }
}

/// Where a response leads, in full.
pub(crate) fn target(from: &str, response: &Response) -> Option<String> {
    let location = response.headers().get("location")?.to_str().unwrap();
    Some(Url::parse(from).unwrap().join(location).unwrap().into())
}
