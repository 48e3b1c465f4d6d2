// Reads with Gitea's own client for Go what was written on a Gitea, and prints it as JSON.
package main

import (
	"encoding/json"
	"os"
	"strconv"

	"code.gitea.io/sdk/gitea"
)

func must[T any](value T, _ *gitea.Response, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

func main() {
	address, token, owner, name := os.Args[1], os.Args[2], os.Args[3], os.Args[4]
	issue, err := strconv.ParseInt(os.Args[5], 10, 64)
	if err != nil {
		panic(err)
	}
	number, err := strconv.ParseInt(os.Args[6], 10, 64)
	if err != nil {
		panic(err)
	}
	client, err := gitea.NewClient(address, gitea.SetToken(token))
	if err != nil {
		panic(err)
	}
	pull := must(client.GetPullRequest(owner, name, number))
	comments := [][]string{}
	for _, one := range must(client.ListIssueComments(owner, name, issue, gitea.ListIssueCommentOptions{})) {
		comments = append(comments, []string{one.Poster.UserName, one.Body})
	}
	reactions := [][]string{}
	for _, one := range must(client.ListIssueReactions(owner, name, issue, gitea.ListIssueReactionsOptions{})) {
		reactions = append(reactions, []string{one.User.UserName, one.Reaction})
	}
	remarks := [][]any{}
	for _, review := range must(client.ListPullReviews(owner, name, number, gitea.ListPullReviewsOptions{})) {
		for _, one := range must(client.ListPullReviewComments(owner, name, number, review.ID)) {
			remarks = append(remarks, []any{one.Reviewer.UserName, one.Path, one.LineNum, one.Body})
		}
	}
	combined := must(client.GetCombinedStatus(owner, name, pull.Head.Sha))
	statuses := [][]string{}
	for _, one := range combined.Statuses {
		statuses = append(statuses, []string{one.Context, string(one.State)})
	}
	err = json.NewEncoder(os.Stdout).Encode(map[string]any{
		"pull":      []any{pull.Poster.UserName, pull.Title, pull.Head.Ref, pull.Base.Ref, pull.Head.Sha, pull.HasMerged, string(pull.State)},
		"body":      pull.Body,
		"comments":  comments,
		"reactions": reactions,
		"remarks":   remarks,
		"statuses":  statuses,
	})
	if err != nil {
		panic(err)
	}
}
