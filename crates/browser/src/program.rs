//! How a browser is started so that it speaks over its standard input and output, keeps to itself, and leaves nothing behind.

/// Where files that pages give are saved, inside.
pub const DOWNLOADS: &str = "/home/agent/.cofferdam/downloads";
/// Where it writes what is wrong with it, inside.
pub const ERRORS: &str = "/tmp/.cofferdam-browser/errors";
/// Where the files of a running browser are, inside. It begins anew each time.
const FILES: &str = "/tmp/.cofferdam-browser";
/// The variable with the digest of the key that answers for servers inside a sandbox, where an egress door ends TLS.
pub const DOOR_KEY: &str = "COFFERDAM_DOOR_KEY";
/// What Debian and its relatives have in the place of the program: a script that reads settings of the host's. And what that starts.
const LAUNCHER: &str = "/usr/bin/chromium";
/// See [`LAUNCHER`].
const LAUNCHED: &str = "/usr/lib/chromium/chromium";
/// Size of the window.
pub const WINDOW: (u32, u32) = (1280, 800);

/// What is given to every browser: no window, nothing asked of its maker, one process less between it and us, and no more of it than pages need.
const SWITCHES: [&str; 35] = [
    "--headless",
    // The sandbox around it is the one that holds.
    "--no-sandbox",
    "--no-zygote",
    "--remote-debugging-pipe",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--no-default-browser-check",
    "--no-pings",
    "--no-service-autorun",
    "--hide-scrollbars",
    "--mute-audio",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-component-extensions-with-background-pages",
    "--disable-client-side-phishing-detection",
    "--disable-default-apps",
    "--disable-domain-reliability",
    "--disable-extensions",
    "--disable-field-trial-config",
    "--disable-background-timer-throttling",
    "--disable-backgrounding-occluded-windows",
    "--disable-renderer-backgrounding",
    "--disable-breakpad",
    "--disable-crash-reporter",
    "--disable-sync",
    "--disable-hang-monitor",
    "--metrics-recording-only",
    "--password-store=basic",
    "--use-mock-keychain",
    "--enable-automation",
    // One page is one process and one session of the protocol, frames of others included.
    "--disable-site-isolation-trials",
    "--disk-cache-size=33554432",
    "--js-flags=--max-old-space-size=768",
];

/// Parts of it that are off: what would ask its maker for something, and what would put pages into processes of their own. `RenderDocument` gives
/// each document a frame of its own; a page that is spoken to over the DevTools protocol while that is made dies of it (a null pointer in
/// `devtools_session.cc`, Chromium 156).
const WITHOUT: &str = "--disable-features=AcceptCHFrame,AutofillServerCommunication,CertificateTransparencyComponentUpdater,DialMediaRouteProvider,\
     DnsOverHttps,AsyncDns,GlobalMediaControls,HttpsUpgrades,IsolateOrigins,site-per-process,MediaRouter,NetworkTimeServiceQuerying,OptimizationHints,\
     OptimizationGuideModelDownloading,PaintHolding,Prerender2,RenderDocument,SafeBrowsing,SpareRendererForSitePerProcess,Translate,\
     LensOverlay,InterestFeedContentSuggestions,BackForwardCache";

/// The command line that starts `program`: its messages come and go over standard input and output, for which a shell gives it the two descriptors
/// that it wants.
#[must_use]
pub fn command(program: &str) -> Vec<String> {
    let (width, height) = WINDOW;
    let script = format!(
        "[ \"$1\" = {LAUNCHER} ] && [ -x {LAUNCHED} ] && {{ shift; set -- {LAUNCHED} \"$@\"; }}; \
         rm -rf {FILES} && mkdir -p {FILES} {DOWNLOADS} && cd {FILES} && \
         exec \"$@\" --user-data-dir={FILES}/profile --window-size={width},{height} \
         ${{{DOOR_KEY}:+--ignore-certificate-errors-spki-list=${DOOR_KEY}}} about:blank \
         3<&0 4>&1 </dev/null >/dev/null 2>{ERRORS}"
    );
    let mut argv =
        vec!["/bin/sh".to_owned(), "-c".to_owned(), script, "browser".to_owned(), program.to_owned()];
    argv.extend(SWITCHES.iter().map(|switch| (*switch).to_owned()));
    argv.push(WITHOUT.to_owned());
    argv
}

/// Variables of its process: all that it would write elsewhere stays with its files.
#[must_use]
pub fn variables() -> Vec<(String, String)> {
    [("HOME", "home"), ("XDG_CONFIG_HOME", "config"), ("XDG_CACHE_HOME", "cache"), ("XDG_RUNTIME_DIR", "run")]
        .map(|(name, folder)| (name.to_owned(), format!("{FILES}/{folder}")))
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_line_of_the_command_depends_on_a_page() {
        let argv = command("/usr/bin/chromium");
        assert_eq!(argv[..2], ["/bin/sh", "-c"]);
        assert!(argv[2].contains("3<&0 4>&1") && argv[2].contains("$COFFERDAM_DOOR_KEY"), "{}", argv[2]);
        assert_eq!(argv[4], "/usr/bin/chromium");
        assert!(argv.iter().any(|word| word == "--remote-debugging-pipe"));
        assert!(!argv.iter().any(|word| word.contains("remote-debugging-port")), "nobody else can connect");
    }
}
