# Reads with the client that is generated from Gitea's own description what was written.
import asyncio
import json
import sys

from gitea_api_client import ApiClient, Configuration, IssueApi, RepositoryApi

url, token, owner, name, issue, pull, commit = sys.argv[1:]
issue, pull = int(issue), int(pull)


async def read(client):
    issues, repositories = IssueApi(client), RepositoryApi(client)
    comments = await issues.issue_get_comments(owner, name, issue)
    reactions = await issues.issue_get_issue_reactions(owner, name, issue)
    found = await repositories.repo_get_pull_request(owner, name, pull)
    remarks = []
    for review in await repositories.repo_list_pull_reviews(owner, name, pull):
        remarks += await repositories.repo_get_pull_review_comments(owner, name, pull, review.id)
    statuses = await repositories.repo_list_statuses(owner, name, commit)
    state = lambda one: getattr(one.status, "value", one.status)
    return {
        "comments": [[one.user.login, one.body] for one in comments],
        "reactions": [[one.user.login, one.content] for one in reactions],
        "pull": [found.user.login, found.title, found.body, found.head.ref, found.base.ref, found.draft, found.head.sha],
        "remarks": [[one.user.login, one.path, one.position, one.body] for one in sorted(remarks, key=lambda one: one.id)],
        "statuses": [[one.context, state(one), one.description] for one in statuses],
    }


async def main():
    configuration = Configuration(host=url + "/api/v1", api_key={"AuthorizationHeaderToken": "token " + token})
    async with ApiClient(configuration) as client:
        print(json.dumps(await read(client)))


asyncio.run(main())
