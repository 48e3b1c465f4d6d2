//! What a server has beside its tools: resources, which are listed and read, and prompts, which are got. Nothing is subscribed to, and what a
//! server says of changes by itself is not heard.

use rmcp::model::{
    GetPromptRequestParams, GetPromptResponse, JsonObject, ReadResourceRequestParams, ReadResourceResponse,
    Role,
};

use super::{Client, Pages};
use crate::{Answer, McpError, Prompt, PromptArgument, plain_uri, prompt::MAX_PROMPTS};

/// Resources that are listed, templates among them.
const MAX_RESOURCES: usize = 1_000;
/// Characters of a name, a type or a description in a list.
const MAX_WORDS: usize = 300;
/// Characters of an address in a list.
const MAX_ADDRESS: usize = 2_000;

/// The resources of a server, as it lists them now. All of it is the server's: untrusted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Resources {
    /// Those that can be read by their addresses, and templates of such addresses.
    pub all: Vec<Resource>,
    /// Whether there are more than are told.
    pub more: bool,
}

/// A resource, or many of one form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resource {
    /// Its address, which only its server understands; or a template of addresses (RFC 6570).
    pub uri: String,
    /// Whether it is a template.
    pub template: bool,
    /// Its name.
    pub name: String,
    /// What kind of data it is said to be.
    pub media_type: Option<String>,
    /// What it is said to hold.
    pub description: Option<String>,
}

impl Resources {
    /// A line for each, with nothing in it that a reader does not see.
    #[must_use]
    pub fn lines(&self) -> String {
        let mut text: String = self.all.iter().map(Resource::line).collect();
        if self.all.is_empty() {
            text.push_str("[no resources]\n");
        }
        if self.more {
            text.push_str(&format!("[more than {MAX_RESOURCES}: the rest is left out]\n"));
        }
        text
    }
}

impl Resource {
    fn line(&self) -> String {
        let Self { uri, template, name, media_type, description } = self;
        let kind = media_type.as_ref().map_or(String::new(), |kind| format!(", {kind:?}"));
        let words = description.as_ref().map_or(String::new(), |words| format!(": {words:?}"));
        let note = match (template, plain_uri(uri)) {
            (true, _) => " [template: put values in the place of {…}]".to_owned(),
            (false, Ok(())) => String::new(),
            (false, Err(why)) => format!(" [cannot be read: {why}]"),
        };
        format!("{uri:?}{note} {name:?}{kind}{words}\n")
    }
}

impl Client {
    /// Its resources, and the templates of others.
    ///
    /// # Errors
    /// When it does not answer, or its list has no end.
    pub async fn resources(&self) -> Result<Resources, McpError> {
        let mut found = Resources::default();
        let mut pages = Pages::default();
        loop {
            let page = self.answered(self.service.peer().list_resources(pages.next())).await?;
            found.add(page.resources.into_iter().map(|one| Resource {
                uri: cut(&one.uri, MAX_ADDRESS),
                template: false,
                name: cut(&one.name, MAX_WORDS),
                media_type: one.mime_type.as_deref().map(|text| cut(text, MAX_WORDS)),
                description: one.description.as_deref().map(|text| cut(text, MAX_WORDS)),
            }));
            if !pages.turn(page.next_cursor)? || found.more {
                break;
            }
        }
        // Many servers with resources have no templates, and do not know the question.
        match self.templates(&mut found).await {
            Ok(()) | Err(McpError::Server { .. }) => Ok(found),
            Err(error) => Err(error),
        }
    }

    async fn templates(&self, found: &mut Resources) -> Result<(), McpError> {
        let mut pages = Pages::default();
        while !found.more {
            let page = self.answered(self.service.peer().list_resource_templates(pages.next())).await?;
            found.add(page.resource_templates.into_iter().map(|one| Resource {
                uri: cut(&one.uri_template, MAX_ADDRESS),
                template: true,
                name: cut(&one.name, MAX_WORDS),
                media_type: one.mime_type.as_deref().map(|text| cut(text, MAX_WORDS)),
                description: one.description.as_deref().map(|text| cut(text, MAX_WORDS)),
            }));
            if !pages.turn(page.next_cursor)? {
                break;
            }
        }
        Ok(())
    }

    /// What a resource holds: text, and pictures that a model can be shown. Other data are named and left out.
    ///
    /// # Errors
    /// When it does not answer, or will not.
    pub async fn read_resource(&self, uri: &str) -> Result<Answer, McpError> {
        let params = ReadResourceRequestParams::new(uri);
        match self.answered(self.service.peer().read_resource_once(params)).await? {
            ReadResourceResponse::Complete(result) => {
                Ok(Answer::of_pieces(result.contents, |answer, piece| answer.embed(piece)))
            }
            ReadResourceResponse::InputRequired(_) | _ => Err(McpError::Wants("input from a person")),
        }
    }

    /// All of its prompts.
    ///
    /// # Errors
    /// When it does not answer, or its list has no end.
    pub(crate) async fn prompts(&self) -> Result<Vec<Prompt>, McpError> {
        let mut all = Vec::new();
        let mut pages = Pages::default();
        loop {
            let page = self.answered(self.service.peer().list_prompts(pages.next())).await?;
            all.extend(page.prompts.into_iter().map(prompt));
            if all.len() > MAX_PROMPTS {
                return Err(McpError::Nonsense(format!("it has more than {MAX_PROMPTS} prompts")));
            }
            if !pages.turn(page.next_cursor)? {
                return Ok(all);
            }
        }
    }

    /// A prompt with these arguments: what it has each side say, in order.
    ///
    /// # Errors
    /// When it does not answer, or will not.
    pub async fn prompt(&self, name: &str, arguments: JsonObject) -> Result<Answer, McpError> {
        let params = GetPromptRequestParams::new(name).with_arguments(arguments);
        match self.answered(self.service.peer().get_prompt_once(params)).await? {
            GetPromptResponse::Complete(result) => {
                Ok(Answer::of_pieces(result.messages, |answer, message| {
                    answer.say(match message.role {
                        Role::User => "[user]",
                        Role::Assistant => "[assistant]",
                    });
                    answer.add(message.content);
                }))
            }
            GetPromptResponse::InputRequired(_) | _ => Err(McpError::Wants("input from a person")),
        }
    }
}

impl Resources {
    fn add(&mut self, some: impl Iterator<Item = Resource>) {
        for resource in some {
            if self.all.len() >= MAX_RESOURCES {
                self.more = true;
                return;
            }
            self.all.push(resource);
        }
    }
}

fn prompt(prompt: rmcp::model::Prompt) -> Prompt {
    let argument = |argument: rmcp::model::PromptArgument| PromptArgument {
        name: argument.name,
        description: argument.description.unwrap_or_default(),
        required: argument.required.unwrap_or_default(),
    };
    Prompt {
        name: prompt.name,
        description: prompt.description.unwrap_or_default(),
        arguments: prompt.arguments.unwrap_or_default().into_iter().map(argument).collect(),
    }
}

fn cut(text: &str, most: usize) -> String {
    text.chars().take(most).collect()
}
