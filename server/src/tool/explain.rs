//! `skep-server explain`.

use std::io::{self, Write as _};

use clap::Args;

use super::{Where, files::form, target::Target};

/// What a PromQL query reads, and what of it was pruned.
#[derive(Args)]
pub(crate) struct Explain {
    query: String,
    /// When an instant query is asked for: seconds or RFC 3339. Now, if left out.
    #[arg(long, value_name = "TIME", conflicts_with_all = ["start", "end", "step"])]
    time: Option<String>,
    /// With these three it is a range query.
    #[arg(long, value_name = "TIME", requires_all = ["end", "step"])]
    start: Option<String>,
    #[arg(long, value_name = "TIME", requires = "start")]
    end: Option<String>,
    /// Seconds, or a duration.
    #[arg(long, value_name = "STEP", requires = "start")]
    step: Option<String>,
    #[command(flatten)]
    pub(super) at: Where,
}

impl Explain {
    pub(super) async fn run(&self, target: &Target) -> anyhow::Result<()> {
        let times = [
            ("time", &self.time),
            ("start", &self.start),
            ("end", &self.end),
            ("step", &self.step),
        ];
        let times = times.into_iter().filter_map(|(name, value)| Some((name, value.as_deref()?)));
        let asked = form([("query", self.query.as_str())].into_iter().chain(times));
        let media = "application/x-www-form-urlencoded";
        let text = target.ask_text("/api/v1/explain", media, asked).await?;
        io::stdout().write_all(text.as_bytes())?;
        Ok(())
    }
}
