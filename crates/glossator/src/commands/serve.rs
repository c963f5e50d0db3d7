//! `glossator serve`: the page of an atlas on a local address.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};

use clap::Args;
use glossator_atlas::Atlas;
use glossator_model::HookPoint;
use glossator_serve::{Address, Library, serve};

use crate::arguments::dictionary::Location;
use crate::output;

/// Show an atlas in the browser
///
/// Which dictionaries it was recorded with is in the atlas.
#[derive(Args)]
#[command(after_help = "Examples:\n  glossator serve demo.atlas --open\n  \
                        glossator serve demo.atlas --dictionary my_sae")]
pub(crate) struct Serve {
    /// The atlas: a directory written by `glossator record`
    atlas: PathBuf,
    /// Port to listen on; 0 takes any free one
    #[arg(long, default_value_t = 7170)]
    port: u16,
    /// Address to listen on; on any but a loopback address the atlas can be read by others
    #[arg(long, default_value = "127.0.0.1")]
    host: IpAddr,
    /// Open the page in the default browser
    #[arg(long)]
    open: bool,
    /// Begin with the features of this dictionary, of which the atlas must hold records
    #[arg(long, value_name = "[HOOK=]PATH")]
    dictionary: Option<Location>,
}

impl Serve {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let atlas = Atlas::open(&self.atlas)?;
        let recorded = &atlas.manifest().run.dictionaries;
        let hook = self.dictionary.as_ref().map(|location| location.hook_among(recorded)).transpose()?;
        let library = Library::new(atlas);
        if !self.host.is_loopback() {
            output::note("note: other machines can read this atlas; `--host 127.0.0.1` keeps it to this one");
        }
        serve(library, Address { host: self.host, port: self.port }, |address| {
            let url = format!("{}{}", url(address), hook.map_or_else(String::new, list_of));
            output::note(&format!("{} is at {url} (Ctrl-C stops)", self.atlas.display()));
            if self.open {
                open(&url);
            }
        })?;
        Ok(ExitCode::SUCCESS)
    }
}

/// The address as a person would type it; an unspecified address is reached through the loopback one.
fn url(address: SocketAddr) -> String {
    let loopback = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => "127.0.0.1".to_owned(),
        IpAddr::V6(ip) if ip.is_unspecified() => "[::1]".to_owned(),
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("[{ip}]"),
    };
    format!("http://{loopback}:{}/", address.port())
}

/// The part of an address that names the list of a hook point's units.
fn list_of(hook: HookPoint) -> String {
    format!("#/units?hook={hook}")
}

/// Asks the desktop to open a page. Without a desktop the address above is enough.
fn open(url: &str) {
    let program = if cfg!(target_os = "macos") { "open" } else { "xdg-open" };
    let started = Command::new(program).arg(url).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    if started.is_err() {
        output::note(&format!("note: `{program}` could not be started; open the address yourself"));
    }
}
