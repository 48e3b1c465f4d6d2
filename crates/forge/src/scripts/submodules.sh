# Says which submodules of a workspace have other files than their commits. Runs inside a sandbox: sh -c SCRIPT submodules WORKSPACE FILTER PATH...
#
# As in collect.sh: works beside the submodules' repositories, whose settings do not matter, and changes nothing in them. A line of output for each
# that differs has its number among the paths, from 0: "changed" where files of its commit did, "added" where there are only more of them. Files
# that the submodule ignores do not count. What Git LFS keeps of it is compared as pointers, which FILTER makes (lfs.sh).
set -eu
umask 022
workspace=$1
filter=$2
shift 2
for name in $(env | sed -n 's/^\(GIT_[A-Z0-9_]*\)=.*/\1/p'); do unset "$name"; done
export HOME=/nonexistent XDG_CONFIG_HOME=/nonexistent LC_ALL=C
export GIT_CONFIG_NOSYSTEM=1 GIT_CONFIG_GLOBAL=/dev/null GIT_ATTR_NOSYSTEM=1 GIT_TERMINAL_PROMPT=0 GIT_ADVICE=0
export GIT_NO_REPLACE_OBJECTS=1 GIT_NO_LAZY_FETCH=1 GIT_ALLOW_PROTOCOL=
own=$(mktemp -d)
trap 'rm -rf "$own"' EXIT
printf '%s\n' "$filter" > "$own/lfs.sh"
export LFS_FILTER="$own/lfs.sh" LFS_OBJECTS="$own/lfs"

# How the files at $1 differ from their commit.
differ() {
  place=$1
  # Never checked out here, or gone altogether: its repository tells of that.
  if [ ! -d "$place" ] || [ -z "$(ls -A "$place" 2>/dev/null)" ]; then return 0; fi
  if [ ! -d "$place/.git/objects" ]; then echo changed; return 0; fi
  base=$(git -c safe.directory='*' --git-dir="$place/.git" rev-parse --verify --quiet 'refs/cofferdam/base^{commit}' 2>/dev/null) ||
    { echo changed; return 0; }
  format=sha1
  if [ "${#base}" -eq 64 ]; then format=sha256; fi
  rm -rf "$own/git" "$own/index"
  git init --quiet --bare --template= --object-format="$format" "$own/git"
  printf '%s\n' "$place/.git/objects" > "$own/git/objects/info/alternates"
  if [ -f "$place/.git/shallow" ]; then cp "$place/.git/shallow" "$own/git/shallow"; fi
  (
    export GIT_DIR="$own/git" GIT_WORK_TREE="$place" GIT_INDEX_FILE="$own/index"
    git config core.bare false
    export LFS_KNOWN="$place/.git/lfs/objects"
    git config filter.lfs.required true
    git config filter.lfs.clean 'sh "$LFS_FILTER" clean "$LFS_OBJECTS" "$LFS_KNOWN"'
    cd "$place"
    # Its own index knows which files are unchanged since they were checked out.
    if ! { cp -p .git/index "$own/index" && git add --all --ignore-errors . ; } >/dev/null 2>&1; then
      rm -f "$own/index" "$own/index.lock"
      git read-tree "$base"
      git add --all --ignore-errors . >/dev/null 2>&1 || :
    fi
    if [ -n "$(git diff-index --cached --no-renames --name-only --diff-filter=a "$base")" ]; then
      echo changed
    elif [ -n "$(git diff-index --cached --no-renames --name-only "$base")" ]; then
      echo added
    fi
  ) || echo changed
}

number=0
for path; do
  how=$(differ "$workspace/$path" | tail -n 1)
  if [ -n "$how" ]; then echo "cofferdam: submodule $how $number"; fi
  number=$((number + 1))
done
