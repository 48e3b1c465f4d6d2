"""What python-gitlab, a client that others have made, does with the stand-in: url, token, project, commit."""
import sys

import gitlab

url, token, path, commit = sys.argv[1:]
gl = gitlab.Gitlab(url, private_token=token)
gl.auth()
assert gl.user.username == "owner", gl.user
project = gl.projects.get(path)
assert project.path_with_namespace == path and project.default_branch == "main", project

(request,) = project.mergerequests.list(state="opened", get_all=True)
assert request.title == "Draft: Fix it" and request.draft and request.sha == commit, request
position = {
    "base_sha": commit, "start_sha": commit, "head_sha": commit, "position_type": "text",
    "old_path": "README.md", "new_path": "README.md", "new_line": 3,
}
thread = request.discussions.create({"body": "why?", "position": position})
thread.notes.create({"body": "tell me"})
thread = request.discussions.get(thread.id)
assert [note["body"] for note in thread.attributes["notes"]] == ["why?", "tell me"], thread
thread.resolved = True
thread.save()
assert all(note["resolved"] for note in request.discussions.get(thread.id).attributes["notes"])
note = request.notes.create({"body": "well"})
note.body = "well done"
note.save()
note.awardemojis.create({"name": "heart"})
assert [award.name for award in note.awardemojis.list(get_all=True)] == ["heart"]
request.title = "Fix it well"
request.save()

issue = project.issues.get(1)
said = issue.notes.list(sort="asc", get_all=True)
assert len(said) == 1 and said[0].body.startswith("I am on it"), said
assert said[0].author["username"].startswith("project_1_bot_"), said[0]
for number in range(25):
    issue.notes.create({"body": f"{number}"})
assert len(issue.notes.list(get_all=True)) == 26, "two pages"

statuses = project.commits.get(commit, lazy=True).statuses.list(get_all=True)
assert [(one.name, one.status) for one in statuses] == [("cofferdam/gate", "success")], statuses
(pipeline,) = project.pipelines.list(sha=commit, get_all=True)
(job,) = pipeline.jobs.list(scope=["failed"], get_all=True)
assert project.jobs.get(job.id, lazy=True).trace() == b"it failed"
me = project.members_all.get(gl.user.id)
assert me.access_level == gitlab.const.AccessLevel.OWNER, me
