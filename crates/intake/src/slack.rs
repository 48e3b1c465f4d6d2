//! Slack as a way in: whoever mentions the app begins a session, and the thread is the session.
//!
//! What happens is posted by Slack, signed ([`SlackWay`] is a [`Way`](crate::Way)), or read from a connection that is opened to it ([`Listener`]). Both
//! ways it is kept before it is acknowledged. Who somebody is, whether they may ask, and what stands in the thread is looked up when it is
//! dealt with. Buttons only lead to pages: what is pressed in Slack does nothing here, so that nobody acts who is not signed in.
//!
//! Sources: [Events API], [Socket Mode], [signatures], [app_mention], [message].
//!
//! [Events API]: https://docs.slack.dev/apis/events-api/
//! [Socket Mode]: https://docs.slack.dev/apis/events-api/using-socket-mode
//! [signatures]: https://docs.slack.dev/authentication/verifying-requests-from-slack
//! [app_mention]: https://docs.slack.dev/reference/events/app_mention
//! [message]: https://docs.slack.dev/reference/events/message
//!
//! Where to start reading: `event` (what is read of a delivery) and `text` (how), which are pure; then `deal`.

mod check;
mod deal;
mod event;
mod settings;
mod signature;
mod socket;
mod text;
mod way;

pub use event::{Delivered, Unreadable, Uttered};
pub use settings::{OpenSlack, SlackSettings, SlackTrouble};
pub use socket::Listener;
pub use text::{Shown, shown};
pub use way::SlackWay;
