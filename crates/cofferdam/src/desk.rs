//! What the pages are told of forges, and how an app is made on one: the forges of the configuration, those that are kept, and GitHub's own
//! exchange.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use async_trait::async_trait;
use cofferdam_domain::{OrgId, Secret, loopback::is_loopback};
use cofferdam_forge::{
    hook::ForgeKind,
    remote::{self, AppPlan, NoApp, Site, SiteCredential, TalkError, app_manifest, app_page},
};
use cofferdam_intake::{OpenForge, TogetherSettings};
use cofferdam_server::{
    AppForm, AppSeen, AppWish, BelongTogether, BudgetSeen, ForgeSeen, ForgeWish, Forges, NewApp, NoNewApp,
    Origin,
};

use crate::{
    apps::{self, KeptForge, KeptForges},
    ways::{Porter, Ways},
};

/// GitHub's own.
const GITHUB: &str = "https://github.com";
/// Where GitHub leads the browser back to, on the pages.
const BACK: &str = "/forges/apps/return";

/// Knows the forges, for the pages.
pub(crate) struct ForgeDesk {
    configured: Vec<(OrgId, OpenForge)>,
    kept: Arc<KeptForges>,
    porter: Arc<Porter>,
    origin: Origin,
    /// Where apps may be made.
    places: Vec<String>,
}

impl ForgeDesk {
    /// With github.com and these other addresses, which the operator has listed.
    pub(crate) fn new(ways: &Ways, kept: Arc<KeptForges>, origin: Origin, others: &[String]) -> Result<Self> {
        let mut places = vec![GITHUB.to_owned()];
        for other in others {
            let place = place(other).with_context(|| format!("[server] github_enterprise: {other:?}"))?;
            if !places.contains(&place) {
                places.push(place);
            }
        }
        let (configured, porter) = (ways.configured_forges(), ways.porter().clone());
        Ok(Self { configured, kept, porter, origin, places })
    }

    fn seen(&self, forge: &OpenForge, app: Option<AppSeen>, hears: bool) -> ForgeSeen {
        let (site, settings) = (&forge.site, &forge.settings);
        let budgets = forge.talk.limits().into_iter();
        ForgeSeen {
            name: site.name().to_owned(),
            kind: site.kind().name().to_owned(),
            web: site.web().to_string().trim_end_matches('/').to_owned(),
            api: site.api().to_string().trim_end_matches('/').to_owned(),
            hook: hears.then(|| self.hook(site.name())),
            every: settings.poll.clone(),
            together: settings.together.iter().map(together).collect(),
            app,
            refused: self.porter.refused(site.name()),
            budgets: budgets
                .map(|seen| BudgetSeen { name: seen.budget, left: seen.left, of: seen.of, again: seen.again })
                .collect(),
            trouble: None,
        }
    }

    fn seen_kept(&self, kept: &KeptForge) -> ForgeSeen {
        let app = &kept.app;
        let seen = AppSeen { number: app.number, page: app.page.clone(), at: app.at, by: app.by.clone() };
        match &kept.open {
            Ok(forge) => self.seen(forge, Some(seen), app.hears),
            Err(why) => ForgeSeen {
                name: app.name.clone(),
                kind: ForgeKind::GitHub.name().to_owned(),
                web: app.web.clone(),
                hook: app.hears.then(|| self.hook(&app.name)),
                app: Some(seen),
                trouble: Some(format!("It is left out: {why}.")),
                ..ForgeSeen::default()
            },
        }
    }

    fn hook(&self, name: &str) -> String {
        format!("{}/hooks/{name}", self.origin)
    }

    /// Whether GitHub, which may be anywhere, can be told to post here.
    fn is_reached(&self) -> bool {
        let origin = self.origin.to_string();
        let place = origin.split_once("://").map_or(&*origin, |(_, place)| place);
        let is_port = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        let host = place.rsplit_once(':').filter(|(_, port)| is_port(port)).map_or(place, |(host, _)| host);
        self.origin.is_secure() && !is_loopback(host)
    }

    /// What an app is called at GitHub, where people may change it: names are unique there.
    fn called(&self) -> String {
        let origin = self.origin.to_string();
        format!("Cofferdam {}", origin.split_once("://").map_or(&*origin, |(_, host)| host).replace(':', " "))
    }
}

#[async_trait]
impl Forges for ForgeDesk {
    async fn of(&self, org: OrgId) -> Vec<ForgeSeen> {
        let configured = self.configured.iter().filter(|(owner, _)| *owner == org);
        let mut seen: Vec<ForgeSeen> = configured
            .map(|(_, forge)| self.seen(forge, None, forge.settings.hook_secret.is_some()))
            .collect();
        let kept = self.kept.now().borrow().clone();
        seen.extend(kept.iter().filter(|kept| kept.app.org == org).map(|kept| self.seen_kept(kept)));
        seen.sort_by(|one, other| one.name.cmp(&other.name));
        seen
    }

    fn places(&self) -> Vec<String> {
        self.places.clone()
    }

    async fn plan(&self, org: OrgId, wish: &AppWish, state: &Secret) -> Result<AppForm, String> {
        let web = wish.web.trim().trim_end_matches('/');
        let Some(web) = self.places.iter().find(|place| *place == web) else {
            return Err(format!(
                "apps are made at {} here: whoever runs this server adds the address of a GitHub Enterprise Server to [server] github_enterprise",
                self.places.join(" and ")
            ));
        };
        let nobody = SiteCredential::Token(Secret::new("none"));
        let site = Site::new(&wish.name, ForgeKind::GitHub, web, None, nobody, true);
        let site = site.map_err(|error| error.to_string())?;
        let is_kept = self.kept.now().borrow().iter().any(|kept| kept.app.name == wish.name);
        if is_kept || self.kept.is_configured(&wish.name) {
            return Err(format!("{:?} is taken: choose another name", wish.name));
        }
        if let Some(there) = self.of(org).await.iter().find(|forge| forge.web == *web) {
            return Err(format!(
                "{web} is connected already, as {:?}: an organisation has one app at each address. Remove that one first, or connect this one in \
                 another organisation",
                there.name
            ));
        }
        let action = app_page(site.web(), wish.owner.as_deref(), state.expose());
        let action = action.ok_or_else(|| {
            "the organisation's name has letters, digits and dashes: give it as it stands in its address at GitHub".to_owned()
        })?;
        let (origin, hook, hears) = (self.origin.to_string(), self.hook(&wish.name), self.is_reached());
        let (name, back) = (self.called(), format!("{origin}{BACK}"));
        let manifest =
            app_manifest(&AppPlan { name: &name, origin: &origin, hook: &hook, hears, back: &back });
        let permissions = manifest["default_permissions"].as_object().into_iter().flatten();
        let permissions = permissions
            .map(|(what, level)| (what.clone(), level.as_str().unwrap_or_default().to_owned()))
            .collect();
        let (action, manifest) = (action.to_string(), manifest.to_string());
        Ok(AppForm { web: web.clone(), action, manifest, permissions, hears })
    }

    async fn exchange(&self, web: &str, code: &str) -> Result<NewApp, NoNewApp> {
        let made = remote::make_app(web, true, code).await.map_err(|none| no_app(web, &none))?;
        let secrets = apps::written(&made.key, made.hook_secret.as_ref());
        let secrets = secrets.map_err(|error| NoNewApp { again: false, reason: error.to_string() })?;
        Ok(NewApp { number: made.id, page: made.page.to_string(), secrets })
    }

    fn settings(&self, wish: &ForgeWish) -> Result<String, String> {
        apps::kept_settings(wish)
    }

    async fn look_again(&self) {
        if let Err(error) = self.kept.look().await {
            // It is heard of besides.
            tracing::warn!(%error, "the apps of forges cannot be read");
        }
    }
}

fn together(table: &TogetherSettings) -> BelongTogether {
    BelongTogether { repository: table.repository.clone(), also: table.also.clone() }
}

/// The address of a forge, written in the one way in which it is compared.
fn place(text: &str) -> Result<String> {
    let nobody = SiteCredential::Token(Secret::new("none"));
    let site = Site::new("github", ForgeKind::GitHub, text, None, nobody, true)?;
    Ok(site.web().to_string().trim_end_matches('/').to_owned())
}

/// Why there is no app, for whoever wanted one.
fn no_app(web: &str, none: &NoApp) -> NoNewApp {
    let orphaned = format!("delete the app that was made there, at {web}/settings/apps, and begin again");
    match none {
        NoApp::Talk(TalkError::ForNow { reason, .. }) => {
            NoNewApp { again: true, reason: format!("{web} does not answer as it should: {reason}") }
        }
        NoApp::Code | NoApp::Used => NoNewApp { again: false, reason: none.to_string() },
        NoApp::Talk(TalkError::Malformed { reason, .. }) => {
            let reason =
                format!("{web} answered something else than its documentation says ({reason}): {orphaned}");
            NoNewApp { again: false, reason }
        }
        NoApp::Site(_) | NoApp::Client(_) | NoApp::Talk(_) => {
            NoNewApp { again: false, reason: format!("{none}: {orphaned}") }
        }
    }
}
