# Makes a bundle of what a workspace has beyond its base. Runs inside a sandbox: sh -c SCRIPT collect BASE WORKSPACE BUNDLE FILTER [PATHSPEC...]
#
# Works in a repository of its own, which borrows the workspace's objects: the workspace's configuration, hooks, filters and locks do not
# matter, and nothing in it is changed. Whatever the agent left (a detached head, commits of its own, a merge under way, no .git at all), the
# bundle's one reference is a commit whose tree is the files as they stand; it descends from the base where the agent's head does.
# The pathspecs are there for a workspace with only some directories: they leave those out, and find the rest of the tree.
# Files that Git LFS keeps become pointers again, by FILTER, the text of a program; contents that are new are left in BUNDLE.lfs.
# The last line of output says what was done.
set -eu
umask 022
base=$1
workspace=$2
bundle=$3
filter=$4
shift 4
for name in $(env | sed -n 's/^\(GIT_[A-Z0-9_]*\)=.*/\1/p'); do unset "$name"; done
export HOME=/nonexistent XDG_CONFIG_HOME=/nonexistent LC_ALL=C
export GIT_CONFIG_NOSYSTEM=1 GIT_CONFIG_GLOBAL=/dev/null GIT_ATTR_NOSYSTEM=1 GIT_TERMINAL_PROMPT=0 GIT_ADVICE=0
export GIT_NO_REPLACE_OBJECTS=1 GIT_NO_LAZY_FETCH=1 GIT_ALLOW_PROTOCOL=
export GIT_AUTHOR_NAME=Agent GIT_AUTHOR_EMAIL=agent@localhost GIT_COMMITTER_NAME=Agent GIT_COMMITTER_EMAIL=agent@localhost

# The directory itself may have been left closed; its mode is no part of the change.
chmod u+rwx "$workspace" 2>/dev/null || :
own=$(mktemp -d)
aside=$own/aside
mkdir "$aside"

# Repositories that the agent made inside the workspace would be taken for submodules and their files be lost. Their .git is moved aside
# while the files are added. A submodule of the base is left as it is.
finish() {
  for place in "$aside"/*.path; do
    [ -f "$place" ] || continue
    path=$(cat "$place"; printf x)
    mv "${place%.path}" "${path%x}" || :
  done
  rm -rf "$own"
}
trap finish EXIT
trap 'exit 1' HUP INT TERM

format=sha1
if [ "${#base}" -eq 64 ]; then format=sha256; fi
git init --quiet --bare --template= --object-format="$format" "$own/git"
real=$(git -c safe.directory='*' --git-dir="$workspace/.git" rev-parse --git-common-dir 2>/dev/null || :)
case $real in
  /*) ;;
  *) real=$workspace/.git ;;
esac
if [ -d "$real/objects" ]; then printf '%s\n' "$real/objects" > "$own/git/objects/info/alternates"; fi
if [ -f "$real/shallow" ]; then cp "$real/shallow" "$own/git/shallow"; fi
head=$(git -c safe.directory='*' -c core.fsmonitor=false --git-dir="$workspace/.git" rev-parse --verify --quiet 'HEAD^{commit}' 2>/dev/null || :)

export GIT_DIR="$own/git" GIT_WORK_TREE="$workspace" GIT_INDEX_FILE="$own/index"
git config core.bare false
git config gc.auto 0
rm -rf "$bundle.lfs"
printf '%s\n' "$filter" > "$own/lfs.sh"
export LFS_FILTER="$own/lfs.sh" LFS_OBJECTS="$bundle.lfs" LFS_KNOWN="$real/lfs/objects"
git config filter.lfs.required true
git config filter.lfs.clean 'sh "$LFS_FILTER" clean "$LFS_OBJECTS" "$LFS_KNOWN"'
cd "$workspace"

has_base=no
if git cat-file -e "$base^{commit}" 2>/dev/null; then has_base=yes; fi
parent=
if [ "$has_base" = yes ]; then
  parent=$base
  if [ -n "$head" ] && git merge-base --is-ancestor "$base" "$head" 2>/dev/null; then parent=$head; fi
fi

PARENT=$parent
export PARENT
find . -path ./.git -prune -o -name .git -prune -exec sh -c '
  aside=$1
  shift
  for path; do
    place=${path#./}
    mode=$(git ls-tree "$PARENT" -- "${place%/.git}" 2>/dev/null | cut -c 1-6)
    if [ "$mode" = 160000 ]; then continue; fi
    count=$(ls "$aside" | wc -l)
    printf "%s" "$path" > "$aside/$count.path"
    mv "$path" "$aside/$count" || rm "$aside/$count.path"
  done' move "$aside" {} + || :

# The workspace's own index knows which files are unchanged since they were checked out. If it cannot be read, every file is.
stage() {
  status=0
  # Submodules are asked for their state, whoever they belong to.
  git -c safe.directory='*' add --all $also --ignore-errors . >/dev/null 2>"$own/errors" || status=$?
  if [ "$status" -le 1 ]; then return 0; fi
  return 1
}
# What a sparse checkout has left out is not gone; what is there after all counts.
also=
if [ "$#" -gt 0 ]; then
  also=--sparse
  git config core.sparseCheckout true
fi
staged=no
if [ -f "$workspace/.git/index" ] && cp -p "$workspace/.git/index" "$own/index" && stage && git write-tree >/dev/null 2>&1; then
  staged=yes
fi
if [ "$staged" = no ]; then
  rm -f "$own/index" "$own/index.lock"
  if [ -n "$parent" ]; then git read-tree "$parent"; fi
  stage || { cat "$own/errors"; exit 1; }
fi
if [ -s "$own/errors" ]; then head -n 20 "$own/errors"; fi

# Files outside the directories of a sparse workspace that are not in it have not been deleted: they are as they were. What is there counts.
if [ "$#" -gt 0 ] && [ "$has_base" = yes ]; then
  git ls-files -s -z > "$own/staged"
  for commit in "$base" "$parent"; do
    GIT_INDEX_FILE="$own/outside" git read-tree "$commit"
    GIT_INDEX_FILE="$own/outside" git ls-files -s -z -- . "$@" >> "$own/kept"
  done
  rm -f "$own/index"
  cat "$own/kept" "$own/staged" | git update-index -z --index-info
fi

tree=$(git write-tree)
if [ "$has_base" = yes ] && [ "$tree" = "$(git rev-parse "$base^{tree}")" ]; then
  echo "cofferdam: nothing changed"
  exit 0
fi
tip=$parent
if [ -z "$parent" ] || [ "$tree" != "$(git rev-parse "$parent^{tree}")" ]; then
  tip=$(echo "Changes that were not committed" | git commit-tree "$tree" ${parent:+-p "$parent"})
fi
git update-ref refs/heads/cofferdam "$tip"
if [ "$has_base" = yes ]; then
  git bundle create --quiet "$bundle" refs/heads/cofferdam "^$base"
else
  git bundle create --quiet "$bundle" refs/heads/cofferdam
fi
echo "cofferdam: bundle of $(wc -c < "$bundle" | tr -d ' ') bytes"
