# Puts a change into a workspace, for somebody who is to see the change and nothing of how it was made: $1 the workspace, $2 the change's commit, $3 a
# repository that has it, $4 contents of Git LFS, if that is there. Afterwards the files are the change's, and git shows them as not committed; the
# commits of the change, and what they say of themselves, are not there.
set -eu
export GIT_CONFIG_NOSYSTEM=1
cd "$1"
mkdir -p .git/objects/info
printf '%s/objects\n' "$3" > .git/objects/info/alternates
if [ -d "$4" ]; then cp -R "$4/." .git/lfs/objects/; fi
base=$(git symbolic-ref HEAD)
git -c core.hooksPath=/dev/null -c advice.detachedHead=false checkout --quiet --force --detach "$2"
git clean -ffdxq
git symbolic-ref HEAD "$base"
git reset --quiet
# So that `git diff` shows files that are new.
git add --intent-to-add . 2>/dev/null || :
rm -rf .git/objects/info/alternates .git/logs .git/ORIG_HEAD
