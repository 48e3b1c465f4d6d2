# Reads with PyGithub what was written.
import json
import sys

from github import Auth, Github

said = json.load(sys.stdin)
github = Github(base_url=said["url"], auth=Auth.Token(said["token"]), retry=None, seconds_between_requests=0)
repository = github.get_repo(said["repository"])
pull = repository.get_pull(said["pull"])
commit = repository.get_commit(said["commit"])
print(json.dumps({
    "comments": [[one.user.login, one.body] for one in repository.get_issue(said["issue"]).get_comments()],
    "pull": [pull.user.login, pull.title, pull.head.ref, pull.base.ref, pull.draft, pull.head.sha],
    "remarks": [[one.user.login, one.body, one.in_reply_to_id is not None] for one in pull.get_review_comments()],
    "checks": [[one.name, one.status, one.conclusion] for one in commit.get_check_runs(check_name="cofferdam")],
    "statuses": [[one.context, one.state] for one in commit.get_statuses()],
}))
