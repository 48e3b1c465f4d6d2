# Makes a workspace from a seed. Runs inside a sandbox: sh -c SCRIPT checkout SEED WORKSPACE FILTER CONTENTS [DIRECTORY...]
#
# The objects are copied rather than cloned: a clone would refuse a seed of another user, would leave a remote that points at it, and would be
# no faster. There are no remotes and no hooks, so nothing fetches anything. FILTER is the text of the program that stands in for Git LFS, which
# knows only contents that are here: those in the directory CONTENTS, if that is there.
set -eu
umask 022
seed=$1
workspace=$2
filter=$3
contents=$4
shift 4
for name in $(env | sed -n 's/^\(GIT_[A-Z0-9_]*\)=.*/\1/p'); do unset "$name"; done
export GIT_CONFIG_NOSYSTEM=1 GIT_CONFIG_GLOBAL=/dev/null GIT_TERMINAL_PROMPT=0 GIT_LFS_SKIP_SMUDGE=1 GIT_ADVICE=0 LC_ALL=C

branch=$(sed -n 's,^ref: refs/heads/,,p' "$seed/HEAD")
format=$(git config --file "$seed/config" --get extensions.objectformat || echo sha1)
git init --quiet --template= --initial-branch="$branch" --object-format="$format" "$workspace"
cp -R "$seed/objects/." "$workspace/.git/objects/"
cp "$seed/packed-refs" "$workspace/.git/packed-refs"
if [ -f "$seed/shallow" ]; then cp "$seed/shallow" "$workspace/.git/shallow"; fi
chmod -R u+w "$workspace/.git"

cd "$workspace"
git config user.name Agent
git config user.email agent@localhost
git config commit.gpgSign false
git config core.fsmonitor false
git config gc.auto 0
git config maintenance.auto false
# As git-lfs has them, so that one that the sandbox's system may have finds them too.
mkdir -p .git/lfs/objects
if [ -d "$contents" ]; then cp -R "$contents/." .git/lfs/objects/; fi
chmod -R u+w .git/lfs
printf '%s\n' "$filter" > .git/lfs/filter.sh
git config filter.lfs.required true
for way in clean smudge; do
  git config "filter.lfs.$way" 'lfs=$(git rev-parse --git-common-dir)/lfs && sh "$lfs/filter.sh" '"$way"' "$lfs/objects"'
done
# Of a large repository, with only these directories; more can be added, for all objects are here.
if [ "$#" -gt 0 ]; then git sparse-checkout set --cone "$@"; fi
git reset --quiet --hard
