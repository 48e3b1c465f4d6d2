//! How the display is started, and where it keeps what.

use super::Size;

/// Its number: that of its socket. Inside there is no other, unless a program there starts one.
const NUMBER: &str = "70";
/// Its name.
const NAME: &str = ":70";
/// Where the files of a running display are, inside. It begins anew each time.
const FILES: &str = "/tmp/.cofferdam-display";
/// What it shows.
pub(super) const FRAMEBUFFER: &str = "/tmp/.cofferdam-display/Xvfb_screen0";
/// Where it writes what is wrong with it.
pub(super) const ERRORS: &str = "/tmp/.cofferdam-display/errors";
/// What programs show it that may use it.
const AUTHORITY: &str = "/tmp/.cofferdam-display/authority";
/// What it prints when programs can come.
pub(super) const READY: &[u8] = b"70\n";
/// Exit statuses where one of the programs is not there.
pub(super) const NO_SERVER: i32 = 127;
/// See [`NO_SERVER`].
pub(super) const NO_INPUT: i32 = 126;

/// The command line that starts `server`, if that and `input` are there. The cookie without which nobody may use the display is made inside: an entry of
/// an authority file that is for every address and every number. Nothing listens but a socket in the sandbox's own `/tmp`.
pub(super) fn command(server: &str, input: &str, size: Size) -> Vec<String> {
    let (width, height) = (size.width(), size.height());
    let script = format!(
        "[ -f \"$1\" ] && [ -x \"$1\" ] || exit {NO_SERVER}; [ -f \"$2\" ] && [ -x \"$2\" ] || exit {NO_INPUT}; \
         rm -rf {FILES} /tmp/.X{NUMBER}-lock /tmp/.X11-unix/X{NUMBER}; mkdir -p -m 1777 /tmp/.X11-unix; \
         umask 077; mkdir {FILES} && cd {FILES} && \
         {{ printf '\\377\\377\\000\\000\\000\\000\\000\\022MIT-MAGIC-COOKIE-1\\000\\020'; head -c 16 /dev/urandom; }} > {AUTHORITY} && \
         exec \"$1\" {NAME} -screen 0 {width}x{height}x24 -fbdir {FILES} -auth {AUTHORITY} -nolisten tcp -nolisten local \
         -noreset -s 0 -displayfd 3 3>&1 </dev/null >/dev/null 2>{ERRORS}"
    );
    ["/bin/sh", "-c", &script, "display", server, input].map(str::to_owned).to_vec()
}

/// Variables with which programs find it.
pub(super) fn variables() -> [(String, String); 2] {
    [("DISPLAY", NAME), ("XAUTHORITY", AUTHORITY)].map(|(name, value)| (name.to_owned(), value.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_line_of_the_command_depends_on_what_is_configured_but_the_size() {
        let argv = command("/usr/bin/Xvfb", "/opt/x y/xdotool", Size::default());
        assert_eq!(argv[..2], ["/bin/sh", "-c"]);
        assert_eq!(argv[4..], ["/usr/bin/Xvfb", "/opt/x y/xdotool"]);
        assert!(argv[2].contains(" 1280x800x24 ") && argv[2].contains("-nolisten tcp"), "{}", argv[2]);
        assert!(!argv[2].contains("usr"), "{}", argv[2]);
        assert!(FRAMEBUFFER.starts_with(FILES) && ERRORS.starts_with(FILES) && AUTHORITY.starts_with(FILES));
    }
}
